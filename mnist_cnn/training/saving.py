"""Writes the kept weights to a `.keras` file that plain Keras loads, and scores that file."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import keras
import keras_tuner
import numpy as np

from mnist_cnn.files import replace_file
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.objectives import LATENCY
from mnist_cnn.training.backend import jit_compile
from mnist_cnn.training.batches import evaluation_batches
from mnist_cnn.training.build import (
    build,
    build_for_images,
    build_metrics_before_tracing,
    has_own_fit,
)
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.run import Run
from mnist_cnn.training.saved_model import latency_ms


def save_scored(
    run: Run, hp: keras_tuner.HyperParameters, weights: list[Any], names: Sequence[str]
) -> tuple[EpochMetrics, float | None]:
    """Save a model in float32, and score it on the validation images.

    Plain Keras loads the file on any machine. Its model is compiled for evaluation only, with plain
    cross-entropy and accuracy, whatever the training loss was. A model that Keras cannot save is
    scored but leaves no file.

    Args:
        run: The run of the model, whose folder takes the file.
        hp: The hyperparameters.
        weights: The weights of the model, in Keras's order.
        names: The names of the model's metrics during training. Keras renames those of a second
            model in the same session, such as to `auc_1`.

    Returns:
        The saved model's metrics on the validation images, as `val_<name>`, empty if the space has
        its own `fit`, because only that knows the inputs of its model; and the milliseconds in
        which it predicts one image, None if nothing asks for them.
    """
    experiment, data, path = run.experiment, run.data, run.journal.folder / MODEL_FILE
    keras.config.set_dtype_policy("float32")
    # A copy of `hp` has the same values and does not ask the trial.
    model = build(experiment, data, hp.copy(), training=False)
    compute_in_float32(model)
    scores: EpochMetrics = {}
    with suppress(Exception):  # a `fit` of the space's own may give it anything
        build_for_images(model, data.dataset)
    if [weight.shape for weight in weights] != [tuple(weight.shape) for weight in model.weights]:
        return scores, None  # that `fit` made the model that it trained, or gave it no images
    model.set_weights(weights)
    if not has_own_fit(experiment.space):
        model.jit_compile = jit_compile(experiment)
        build_metrics_before_tracing(model, data.validation)
        model.evaluate(evaluation_batches(data.validation), verbose=0)
        values = model.get_metrics_result().values()  # in the order of `names`; others are sorted
        scores = {f"val_{n}": float(value) for n, value in zip(names, values, strict=True)}
    compile_for_evaluation(model, one_hot=data.validation.y.ndim == 2)
    try:
        replace_file(path, model.save)
    except OSError:
        raise
    except Exception:  # such as a subclass without `get_config`; its score still counts
        path.unlink(missing_ok=True)
    # In memory, because a file with a Lambda layer, for example, is not loaded.
    return scores, latency_ms(model, data.dataset.shape, images=1) if _is_timed(run) else None


def _is_timed(run: Run) -> bool:
    """Whether an objective or a constraint of the trial needs the latency of its model."""
    if run.keep == "last":  # a confirmation, which only has the first objective
        return False
    objectives, constraints = run.experiment.objectives, run.experiment.constraints
    return LATENCY in [o.metric for o in objectives] + [c.metric for c in constraints]


def compile_for_evaluation(model: keras.Model, *, one_hot: bool) -> None:
    """Compile an image classifier with plain cross-entropy and accuracy.

    A model with several outputs, or with an unknown output shape, is compiled without a loss.

    Args:
        model: The model.
        one_hot: Whether labels are one-hot.
    """
    # "sgd" has no state to save, and loading does not warn about missing state.
    if isinstance(getattr(model, "output_shape", None), tuple):
        loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
        model.compile(loss=loss, metrics=["accuracy"], optimizer="sgd", jit_compile=False)
    else:
        model.compile(optimizer="sgd", jit_compile=False)


def compute_in_float32(model: keras.Model) -> None:
    """Make the model and every layer compute in float32, even if the space chose otherwise."""
    for layer in model._flatten_layers():  # unlike `layers`, it includes layers inside layers
        if layer.dtype_policy.name != "float32":
            layer.dtype_policy = "float32"


def weights_digest(weights: list[Any]) -> str:
    """Return the SHA-256 over the bytes of all weights in order, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
