"""How good a saved model is on images that it has not seen."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from mnist_cnn.datasets import Images
from mnist_cnn.errors import UserError
from mnist_cnn.training import EVALUATION_BATCH_SIZE


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on some images.

    images: how many; accuracy: share of right answers in [0, 1]; loss: mean cross-entropy in nats.
    """

    images: int
    accuracy: float
    loss: float


def load(path: Path) -> keras.Model:
    """The model in a .keras file, loaded safely: no code in it is run.

    Raises UserError if the file cannot be read.
    """
    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # Keras, zipfile and h5py each raise their own
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"cannot load the model {path}: {reason}") from None


def evaluate(model: keras.Model, images: Images) -> Evaluation:
    """Evaluate `model`, whose output is probabilities of shape (n, classes)."""
    probabilities = np.asarray(
        model.predict(images.x, batch_size=EVALUATION_BATCH_SIZE, verbose=0), dtype=np.float64
    )
    labels = images.y
    given = probabilities[np.arange(len(labels)), labels]
    return Evaluation(
        images=len(labels),
        accuracy=float(np.mean(probabilities.argmax(axis=1) == labels)),
        loss=float(np.mean(-np.log(np.maximum(given, 1e-7)))),
    )
