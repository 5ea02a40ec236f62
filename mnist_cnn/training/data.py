"""An experiment's training and validation images. The test images are not here."""

import functools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.known_data import facts_file, writing
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.training.kept_images import folder_of, kept_split


@dataclass(frozen=True)
class Data:
    """A data set whose training images are split.

    Attributes:
        dataset: The data set.
        train: The images to train on, as they are kept, see `kept_split`.
        validation: The images to validate on, as they are kept.
    """

    dataset: Dataset
    train: Images
    validation: Images

    @cached_property
    def in_memory(self) -> tuple[Images, Images]:
        """Both parts as float32 in [0, 1], for code that needs arrays, such as a space's own `fit`.

        That takes the memory for all of them.
        """
        return self.train.scaled(), self.validation.scaled()


@functools.cache  # opened once for all runs of a worker
def load_data(experiment_id: ExperimentId) -> Data:
    """Return the images that the experiment's trials train and validate on.

    Raises:
        UsageError: The data set is not consistent, or too small.
        UserError: The images cannot be kept, because the disk is full.
    """
    experiment = load_experiment(experiment_id)
    dataset = experiment.opened_dataset
    fraction, seed = experiment.validation_fraction, experiment.seed
    with writing():
        return Data(dataset, *kept_split(dataset, fraction, seed, experiment.batch_size))


def kept_files(experiment_id: ExperimentId) -> tuple[Path, ...]:
    """Return the files that `load_data` uses, once it has been called."""
    experiment = load_experiment(experiment_id)
    folder = folder_of(experiment.opened_dataset, experiment.validation_fraction, experiment.seed)
    files = sorted(folder.iterdir())
    return (*files, facts_file(experiment_id.data)) if experiment_id.data else tuple(files)
