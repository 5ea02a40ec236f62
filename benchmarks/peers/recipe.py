"""What the peers share: images, the two recipes (`guide` and `settings`), a callback."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks.peers.log import note
from experiments.mnist import experiment
from mnist_cnn import machine
from mnist_cnn.run import Data, load_data
from mnist_cnn.training import jit_compile

BATCH_SIZE = 256
STEPS_PER_EXECUTION = 16


def images() -> Data:
    """The images that this project's search trains and validates on."""
    return load_data("mnist")


def use(recipe: str) -> None:
    """Set the precision for the models that are built from here on."""
    keras.config.set_dtype_policy(machine.precision() if recipe == "settings" else "float32")


def adapt(model: keras.Model, recipe: str) -> keras.Model:
    """Give a compiled model this project's compiler settings, or leave it as Keras makes it."""
    if recipe == "settings":
        model.jit_compile = jit_compile(experiment)
        model.steps_per_execution = STEPS_PER_EXECUTION
    return model


def batch(recipe: str, guide: int) -> int:
    """The batch size: the guide's, or this project's."""
    return BATCH_SIZE if recipe == "settings" else guide


class Log(keras.callbacks.Callback):
    """Notes the time and the validation accuracy of every epoch of a trial."""

    def __init__(self, path: Path, trial: object = None) -> None:
        super().__init__()
        self.path, self.trial, self.trainings = path, trial, 0

    def on_train_begin(self, logs=None) -> None:
        self.trainings += 1

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        note(
            self.path,
            trial=f"{os.getpid()}-{self.trainings}" if self.trial is None else self.trial,
            val_accuracy=float(logs["val_accuracy"]),
        )
