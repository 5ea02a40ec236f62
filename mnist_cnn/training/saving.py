"""The best weights in a `.keras` file that plain Keras loads, and what that file scores."""

import hashlib
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from mnist_cnn.experiment import Experiment
from mnist_cnn.files import replace_file
from mnist_cnn.training.backend import jit_compile
from mnist_cnn.training.batches import evaluation_batches
from mnist_cnn.training.build import build, build_metrics
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.data import Data


def save_scored(
    experiment: Experiment,
    data: Data,
    hp: keras_tuner.HyperParameters,
    weights: list[Any],
    path: Path,
) -> EpochMetrics:
    """Save the model so that plain Keras loads it and computes in float32 on any machine.

    The file is compiled for evaluation only, with plain cross-entropy and accuracy, whatever the
    loss of the training was.

    Args:
        experiment: Gives the space.
        data: Its images.
        hp: The hyperparameters.
        weights: The model's weights, in Keras's order.
        path: The file to write.

    Returns:
        The saved model's metrics on the validation images, as `best_val_<name>`.
    """
    keras.config.set_dtype_policy("float32")
    # A plain copy of `hp` has the same values and asks no trial.
    model = build(experiment, data.dataset, hp.copy())
    model.set_weights(weights)
    model.jit_compile = jit_compile(experiment)
    build_metrics(model, data.validation)
    scores = model.evaluate(evaluation_batches(data.validation), verbose=0, return_dict=True)
    one_hot = data.validation.y.ndim == 2
    model.compile(
        loss="categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        optimizer="sgd",  # has no state to save, and loading warns of none
        jit_compile=False,
    )
    replace_file(path, model.save)
    return {f"best_val_{name}": float(value) for name, value in scores.items()}


def weights_digest(weights: list[Any]) -> str:
    """Return the SHA-256 over the bytes of all weights in order, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
