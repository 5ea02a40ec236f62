"""An experiment's images as its trainings see them. The test images are not here."""

import functools
from dataclasses import dataclass

from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.datasets.check import checked_split
from mnist_cnn.project import load_experiment


@dataclass(frozen=True)
class Data:
    """A data set with its training images divided.

    Attributes:
        dataset: The data set.
        train: The images to train on.
        validation: The images to validate on.
    """

    dataset: Dataset
    train: Images
    validation: Images


@functools.cache  # one reading for all runs of a worker
def load_data(experiment_name: str) -> Data:
    """Return the images that a search of the experiment trains and validates on.

    Raises:
        UsageError: The data set is not consistent, or too small.
    """
    experiment = load_experiment(experiment_name)
    dataset = experiment.dataset()
    fraction, seed = experiment.validation_fraction, experiment.seed
    return Data(dataset, *checked_split(dataset, fraction, seed, experiment.batch_size))
