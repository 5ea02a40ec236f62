"""An experiment's training and validation images. The test images are not here."""

import functools
from dataclasses import dataclass

from mnist_cnn.datasets import Dataset, Images, split
from mnist_cnn.project import load_experiment


@dataclass(frozen=True)
class Data:
    """A data set whose training images are split.

    Attributes:
        dataset: The data set.
        train: The images to train on.
        validation: The images to validate on.
    """

    dataset: Dataset
    train: Images
    validation: Images


@functools.cache  # read once for all runs of a worker
def load_data(experiment_name: str) -> Data:
    """Return the images that the experiment's trials train and validate on."""
    experiment = load_experiment(experiment_name)
    dataset = experiment.dataset()
    return Data(dataset, *split(dataset.train(), experiment.validation_fraction, experiment.seed))
