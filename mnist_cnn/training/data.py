"""An experiment's training and validation images. The test images are not here."""

import functools
from dataclasses import dataclass

from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.datasets.check import checked_split
from mnist_cnn.experiment_id import ExperimentId
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
def load_data(experiment_id: ExperimentId) -> Data:
    """Return the images that the experiment's trials train and validate on.

    Raises:
        UsageError: The data set is not consistent, or too small.
    """
    experiment = load_experiment(experiment_id)
    dataset = experiment.opened_dataset
    fraction, seed = experiment.validation_fraction, experiment.seed
    return Data(dataset, *checked_split(dataset, fraction, seed, experiment.batch_size))
