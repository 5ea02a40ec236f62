"""How good a saved model is on images that it has not seen. Happens in a worker process."""

import hashlib
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets import Images
from mnist_cnn.evaluation import plots, saved_model
from mnist_cnn.evaluation.data import Facts, find
from mnist_cnn.evaluation.scores import Evaluation, score
from mnist_cnn.training.run import weights_digest


def examine(model_file: Path, data: str) -> tuple[Facts, str]:
    """Check that the model can be evaluated on `data`, before any test image is read.

    Returns what is recorded of the data, and the digest of the model's weights by which the run
    that trained them can be found. Raises UsageError for unknown data, UserError for a model
    that cannot be loaded or does not fit them.
    """
    source = find(data)
    model = saved_model.load(model_file)
    saved_model.check_fits(model, source.facts.name, source.shape, source.classes)
    return source.facts, weights_digest(model.get_weights())


def evaluate(model_file: Path, data: str, pictures: Path | None = None) -> Evaluation:
    """Evaluate the model on the images that `data` names; a test set is opened here.

    pictures: a folder that gets the pictures; None for none.

    Raises UsageError and UserError, as `examine` does, and for images that do not fit the model.
    """
    model, name, images, probabilities = _answer(model_file, data)
    labels = images.labels
    if pictures is not None:
        plots.draw(images.x, labels, probabilities, name, pictures)
    return Evaluation(
        scores=score(probabilities, labels),
        parameters=int(model.count_params()),
        single_image_ms=saved_model.latency_ms(model, 1),
        batch_ms=saved_model.latency_ms(model, saved_model.BATCH),
        batch_images=saved_model.BATCH,
        right=_right(images, probabilities),
        images_sha256=hashlib.sha256(images.x.tobytes() + images.labels.tobytes()).hexdigest(),
    )


def right(model_file: Path, data: str) -> NDArray[np.bool_]:
    """Which of the images the model answers rightly, of shape (n,); otherwise as `evaluate`."""
    _, _, images, probabilities = _answer(model_file, data)
    return _right(images, probabilities)


def _answer(model_file: Path, data: str) -> tuple[keras.Model, str, Images, NDArray[np.float64]]:
    source = find(data)
    model = saved_model.load(model_file)
    saved_model.check_fits(model, source.facts.name, source.shape, source.classes)
    images = source.read(saved_model.shape_of(model), saved_model.classes_of(model))
    return model, source.facts.name, images, saved_model.answer(model, images.x)


def _right(images: Images, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(probabilities.argmax(axis=1) == images.labels)
