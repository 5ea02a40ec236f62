"""The common parts of the peers: images, the recipes `guide` and `settings`, a callback."""

import os
from pathlib import Path
from uuid import uuid4

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks.peers.log import note
from experiments.mnist import experiment
from mnist_cnn.datasets import Images, split
from mnist_cnn.training.backend import jit_compile, precision
from mnist_cnn.training.batches import STEPS_PER_EXECUTION


def images(seed: int) -> tuple[Images, Images]:
    """The images that a search of this project with that seed trains on and validates on."""
    return split(experiment.dataset().train(), experiment.validation_fraction, seed)


def use(recipe: str) -> None:
    """Set the precision for the models that are built from here on."""
    keras.config.set_dtype_policy(precision(experiment) if recipe == "settings" else "float32")


def adapt(model: keras.Model, recipe: str) -> keras.Model:
    """Give a compiled model this project's compiler settings, or leave it as Keras makes it."""
    if recipe == "settings":
        model.jit_compile = jit_compile(experiment)
        model.steps_per_execution = STEPS_PER_EXECUTION
    return model


def batch(recipe: str, guide: int) -> int:
    """The batch size: the guide's, or this project's."""
    return experiment.batch_size if recipe == "settings" else guide


class Log(keras.callbacks.Callback):
    """Notes the time and the validation accuracy of every epoch of a run, which is a trial."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None) -> None:
        self.trial = uuid4().hex  # not a count: KerasTuner copies its callbacks for every trial

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        note(self.path, self.trial, float(logs["val_accuracy"]))
