"""A model in a .keras file: loaded safely, checked, asked for answers, and timed."""

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.image_files import Shape
from mnist_cnn.training.batches import EVALUATION_BATCH_SIZE

BATCH = 256  # images of the batch whose time is measured


def load(path: Path) -> keras.Model:
    """The classifier of images in a .keras file; no code in the file is run.

    Raises UserError if the file is damaged, holds a Lambda layer or anything else that Keras alone
    does not know, or is no model from one image to the probabilities of classes.
    """
    _refuse_code(path)
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # Keras, zipfile and h5py each raise their own
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise UserError(f"cannot load the model {path}: {reason}") from None
    if not isinstance(model, keras.Model):
        raise UserError(f"{path} holds a {type(model).__name__}, not a model")
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not (_is_shape(takes, 4) and _is_shape(gives, 2)):
        raise UserError(
            f"the model {path} maps {takes} to {gives}; wanted is (None, height, width, channels) "
            "to (None, classes)"
        )
    # XLA, which compiling for "auto" turns on, would take seconds and answer in no less time.
    model.jit_compile = False
    return model


def check_fits(model: keras.Model, name: str, shape: Shape | None, classes: int | None) -> None:
    """Raise UserError if `model` takes other images, or knows other classes, than the data `name`.

    None for either stands for data that are made or checked to fit when they are read.
    """
    if shape is not None and shape_of(model) != shape:
        raise UserError(
            f"the model takes images of shape {shape_of(model)}, those of {name} are {shape}"
        )
    if classes is not None and classes_of(model) != classes:
        raise UserError(f"the model has {classes_of(model)} classes, {name} has {classes}")


def shape_of(model: keras.Model) -> Shape:
    """(height, width, channels) of the images that the model takes."""
    height, width, channels = model.input_shape[1:]
    return height, width, channels


def classes_of(model: keras.Model) -> int:
    """The number of classes that the model tells apart."""
    return int(model.output_shape[1])


def answer(model: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The model's probabilities of shape (n, classes) for images of shape (n, *shape_of(model)).

    Raises UserError if they are none: not finite, not in [0, 1], or not of sum 1.
    """
    given = model.predict(x, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = np.asarray(given, dtype=np.float64)
    sums = probabilities.sum(axis=1)
    if not (probabilities.min() >= -1e-6 and np.abs(sums - 1).max() < 1e-2):  # false for NaN
        raise UserError(
            "the model's outputs are no probabilities: they sum to "
            f"{sums.min():.3g} to {sums.max():.3g} for an image"
        )
    return probabilities


def latency_ms(model: keras.Model, images: int) -> float:
    """The median time in milliseconds to answer `images` images at once, after warming up.

    Measured as a server would ask: `predict_on_batch` on an array in memory.
    """
    x = np.random.default_rng(0).random((images, *shape_of(model)), dtype=np.float32)
    return _median_ms(lambda: model.predict_on_batch(x), 50 if images == 1 else 15)


def _refuse_code(path: Path) -> None:
    """Keras loads a Lambda layer in safe mode if its function has a name; here none passes."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as error:  # zipfile, zlib and json each raise their own
        raise UserError(f"the model {path} is damaged: {error}") from None
    if _has_lambda(config):
        raise UserError(
            f"the model {path} holds a Lambda layer, which is code of unknown origin; it is not "
            "loaded. Build the layer from Keras's own"
        )


def _has_lambda(config: Any) -> bool:
    if isinstance(config, dict):
        return config.get("class_name") in ("Lambda", "__lambda__") or any(
            _has_lambda(value) for value in config.values()
        )
    return isinstance(config, list) and any(_has_lambda(item) for item in config)


def _is_shape(shape: Any, dimensions: int) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) == dimensions
        and all(isinstance(size, int) for size in shape[1:])
    )


def _median_ms(call: Callable[[], Any], times: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)

    for _ in range(3):
        once()
    return median(once() for _ in range(times))
