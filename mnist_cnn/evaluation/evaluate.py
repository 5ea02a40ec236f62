"""How good a saved model is on images that it has not seen. Runs in a worker process."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets import Images
from mnist_cnn.datasets.images import OnDemand
from mnist_cnn.evaluation import plots
from mnist_cnn.evaluation.data import DataInfo, Source, check_name, find
from mnist_cnn.evaluation.scores import Evaluation, score
from mnist_cnn.training import saved_model
from mnist_cnn.training.batches import evaluation_batch_size
from mnist_cnn.training.saving import weights_digest

PIECE_BYTES = 2**25  # of pixels of a large set that are in memory at a time
# Of this many images, a model is also asked about the negatives.
NEGATIVES = 1000
# It warns if the model gets so many more of them right, as a share.
MUCH_BETTER = 0.1


def examine(model_file: Path, data: str, class_names: Sequence[str] = ()) -> tuple[DataInfo, str]:
    """Check that a model can be evaluated on `data`. It is not asked about any image.

    So a model that does not predict probabilities, or images that are not valid, are refused before
    a test set is opened to the model.

    Args:
        model_file: A .keras file.
        data: See `evaluation.data.find`.
        class_names: The names of the model's classes. Empty if they are unknown.

    Returns:
        What is recorded about the data, and the digest of the model's weights, by which the run
        that trained them can be found.

    Raises:
        UsageError: Unknown data.
        UserError: The model cannot be loaded, does not fit the data, or does not predict
            probabilities. Or the test images are not valid.
    """
    model, source = _load(model_file, data, class_names)
    saved_model.check_answers(model)
    if source.info.is_test_set:
        source.read()  # checks them
    return source.info, weights_digest(model.get_weights())


def evaluate(
    model_file: Path, data: str, pictures: Path | None = None, class_names: Sequence[str] = ()
) -> Evaluation:
    """Evaluate a model on the images that `data` names. This opens a test set.

    Args:
        model_file: A .keras file.
        data: See `evaluation.data.find`.
        pictures: The folder for plots and image grids; None for none.
        class_names: The names of the model's classes. Empty if they are unknown.

    Raises:
        UsageError: Unknown data.
        UserError: The model cannot be loaded, or does not fit the data.
    """
    predicted = _predict(model_file, data, class_names)
    model, images, probabilities = predicted.model, predicted.images, predicted.probabilities
    if pictures is not None:
        names = predicted.class_names
        plots.draw(images.x, images.labels, probabilities, predicted.info.name, pictures, names)
    single_image_ms, batch_ms = _latencies_ms(model)
    return Evaluation(
        scores=score(probabilities, images.labels),
        parameters=int(model.count_params()),
        single_image_ms=single_image_ms,
        batch_ms=batch_ms,
        batch_images=_batch_images(model),
        correct=predicted.correct,
        images_sha256=_sha256(images),
        warnings=_polarity(predicted),
    )


def correct(model_file: Path, data: str, class_names: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Return which of the images the model classifies correctly. This opens a test set.

    Arguments and errors are those of `evaluate`.

    Returns:
        An array of shape (n,), in the order of the images.
    """
    return _predict(model_file, data, class_names).correct


def latencies_ms(model_file: Path) -> tuple[float, float]:
    """Return `single_image_ms` and `batch_ms` of a model, see `Evaluation`."""
    return _latencies_ms(saved_model.load(model_file))


def _latencies_ms(model: keras.Model) -> tuple[float, float]:
    shape = saved_model.shape_of(model)
    single = saved_model.latency_ms(model, shape, 1)
    return single, saved_model.latency_ms(model, shape, _batch_images(model))


def _batch_images(model: keras.Model) -> int:
    return min(saved_model.BATCH, evaluation_batch_size(saved_model.shape_of(model)))


def _polarity(predicted: "_Predicted") -> tuple[str, ...]:
    """Warn if a model reads the negatives of its images better than the images."""
    few = predicted.images[slice(NEGATIVES)].scaled()
    negatives = saved_model.predict(predicted.model, 1 - few.x)
    negative = float((negatives.argmax(axis=1) == few.labels).mean())
    positive = float(predicted.correct[:NEGATIVES].mean())
    if negative < positive + MUCH_BETTER:
        return ()
    return (
        f"the model reads {positive:.0%} of the images, but {negative:.0%} of their negatives: "
        "they are probably dark on light where it was trained on light on dark, or the reverse; "
        "invert them",
    )


@dataclass(frozen=True)
class _Predicted:
    """A model, images, and the probabilities, of shape (n, classes), that it predicts for them."""

    model: keras.Model
    info: DataInfo
    images: Images
    probabilities: NDArray[np.float64]

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes; their indices if they are unknown."""
        return self.info.class_names or [str(index) for index in range(self.probabilities.shape[1])]

    @property
    def correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.probabilities.argmax(axis=1) == self.images.labels)


def _load(model_file: Path, data: str, class_names: Sequence[str]) -> tuple[keras.Model, Source]:
    check_name(data)
    model = saved_model.load(model_file)
    classes = saved_model.classes_of(model)
    names = class_names if len(class_names) == classes else [str(n) for n in range(classes)]
    source = find(data, saved_model.shape_of(model), names)
    saved_model.check_fits(model, source.info.name, source.shape, source.classes)
    return model, source


def _predict(model_file: Path, data: str, class_names: Sequence[str]) -> _Predicted:
    model, source = _load(model_file, data, class_names)
    images = source.read()
    found = [saved_model.predict(model, piece.x) for piece in _pieces(images)]
    return _Predicted(model, source.info, images, np.concatenate(found))


def _pieces(images: Images) -> Iterator[Images]:
    """The images with float32 pixels in [0, 1]; some at a time if they are read on demand."""
    rows = len(images)
    if isinstance(images.x, OnDemand):
        rows = max(1, PIECE_BYTES // prod(images.x.shape[1:]))
    for start in range(0, len(images), rows):
        yield images[slice(start, start + rows)].scaled()


def _sha256(images: Images) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(images):
        digest.update(piece.x.tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()
