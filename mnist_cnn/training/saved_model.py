"""A model in a .keras file: loads it safely, checks it, predicts with it, and times it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.parts import Shape
from mnist_cnn.errors import UserError
from mnist_cnn.keras_file import check_weights, read_config
from mnist_cnn.training.batches import evaluation_batch_size

BATCH = 256  # images in the batch whose latency is measured, fewer if they are large
WARM_UP_CALLS = 3
TIMED_CALLS, TIMED_BATCH_CALLS = 50, 15


def load(path: Path) -> keras.Model:
    """Load an image classifier with plain Keras. No code in the file is run.

    Objects that the project has registered with Keras are hidden, because the project is not
    imported where the model is served.

    Args:
        path: A .keras file.

    Raises:
        UsageError: There is no such file.
        UserError: The file is damaged or too large, it has a Lambda layer or another object that
            plain Keras does not know, or its model does not map images to class probabilities.
    """
    _refuse_code(path)
    check_weights(path)
    with only_keras():
        model = load_with_objects(path)
    if not isinstance(model, keras.Model):
        raise UserError(f"{path} has a {type(model).__name__}, not a model")
    inputs, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not (_is_shape(inputs, 4) and _is_shape(outputs, 2)):
        raise UserError(
            f"the model {path} maps {inputs} to {outputs}; expected (None, height, width, "
            "channels) to (None, classes)"
        )
    # XLA, which "auto" would turn on, takes seconds to compile and does not predict faster.
    model.jit_compile = False
    return model


def load_with_objects(path: Path) -> Any:
    """Load a .keras file of this project, with the objects that are registered with Keras.

    Raises:
        UserError: The file is damaged, or has an object that Keras does not know.
    """
    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # Keras, zipfile and h5py each raise exceptions of their own
        # Keras writes first which object failed, then pages of its configuration, then the reason.
        reason = str(error).rpartition("Exception encountered: ")[2].strip()
        reason = reason.split("\n")[0].split(". ")[0]
        raise UserError(f"cannot load the model {path}: {reason}") from None


@contextmanager
def only_keras() -> Iterator[None]:
    """Hide objects that were registered with `register_keras_serializable`."""
    registered = keras.saving.get_custom_objects()
    hidden = dict(registered)
    registered.clear()
    try:
        yield
    finally:
        registered.update(hidden)


def check_fits(model: keras.Model, name: str, shape: Shape, classes: int | None) -> None:
    """Check that a model fits the images.

    Args:
        model: The model.
        name: How messages refer to the images.
        shape: (height, width, channels) of one image.
        classes: The number of classes. None if labels are checked when they are read.

    Raises:
        UserError: The model has another input shape or another number of classes.
    """
    if shape_of(model) != shape:
        raise UserError(
            f"the model takes images of shape {shape_of(model)}, but {name} has {shape}"
        )
    if classes is not None and classes_of(model) != classes:
        raise UserError(f"the model has {classes_of(model)} classes, {name} has {classes}")


def shape_of(model: keras.Model) -> Shape:
    """Return the shape of one input image."""
    height, width, channels = model.input_shape[1:]
    return height, width, channels


def classes_of(model: keras.Model) -> int:
    """Return the number of classes."""
    return int(model.output_shape[1])


def predict(model: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities that a model predicts.

    Args:
        model: The model.
        x: Images of shape (n, height, width, channels).

    Returns:
        An array of shape (n, classes).

    Raises:
        UserError: The outputs are not finite, are not in [0, 1], or do not sum to 1 for each image.
    """
    outputs = model.predict(x, batch_size=evaluation_batch_size(shape_of(model)), verbose=0)
    return check_probabilities(outputs)


def check_answers(model: keras.Model) -> None:
    """Check that a model predicts probabilities, on an image of noise.

    Raises:
        UserError: It does not.
    """
    noise = np.random.default_rng(0).random((1, *shape_of(model)), dtype=np.float32)
    check_probabilities(model(noise, training=False))


def check_probabilities(outputs: Any) -> NDArray[np.float64]:
    """Check that a model's outputs are probabilities.

    Args:
        outputs: An array of shape (n, classes).

    Returns:
        The same values in float64.

    Raises:
        UserError: The outputs are not finite, are not in [0, 1], or do not sum to 1 for each image.
    """
    probabilities = np.asarray(outputs, dtype=np.float64)
    sums = probabilities.sum(axis=1)
    if not (probabilities.min() >= -1e-6 and np.abs(sums - 1).max() < 1e-2):  # false for NaN
        raise UserError(
            "the model's outputs are not probabilities: they sum to "
            f"{sums.min():.3g} to {sums.max():.3g} for an image"
        )
    return probabilities


def latency_ms(model: keras.Model, shape: Shape, images: int) -> float:
    """Return the median time to predict a batch, in milliseconds, after a warm-up.

    It calls `predict_on_batch` on an array in memory, as a server does.

    Args:
        model: The model.
        shape: (height, width, channels) of one image.
        images: The number of images in the batch.
    """
    x = np.random.default_rng(0).random((images, *shape), dtype=np.float32)
    calls = TIMED_CALLS if images == 1 else TIMED_BATCH_CALLS
    return _median_ms(lambda: model.predict_on_batch(x), calls)


def _refuse_code(path: Path) -> None:
    """Refuse Lambda layers. Even in safe mode, Keras loads a Lambda with a named function."""
    if _has_lambda(read_config(path)):
        raise UserError(
            f"the model {path} has a Lambda layer, which is code of unknown origin, so it is not "
            "loaded; replace the layer with one of Keras's own"
        )


def _has_lambda(config: Any) -> bool:
    pending = [config]  # no recursion, because a hostile configuration may be nested too deeply
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if item.get("class_name") in ("Lambda", "__lambda__"):
                return True
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return False


def _is_shape(shape: Any, dimensions: int) -> bool:
    """Return whether `shape` has this many dimensions, all known but the first."""
    return (
        isinstance(shape, tuple)
        and len(shape) == dimensions
        and all(isinstance(size, int) for size in shape[1:])
    )


def _median_ms(call: Callable[[], Any], times: int) -> float:
    for _ in range(WARM_UP_CALLS):
        call()
    measured = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        measured.append(1000 * (time.perf_counter() - start))
    return median(measured)
