"""MNIST, as it is shipped with this package."""

import hashlib
from importlib.resources import files

import numpy as np

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images
from mnist_cnn.errors import UserError

MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"

_RESTORE = "restore it with `git checkout -- mnist_cnn/data/mnist.npz`"


def mnist() -> Dataset:
    """MNIST's 70,000 handwritten digits, as shipped with this package.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits" (1998),
    CC BY-SA 3.0. 60,000 images to train on and 10,000 to test, grey, 28x28, ten classes.
    """
    return Dataset(
        name="mnist",
        digest=MNIST_SHA256,
        shape=(28, 28, 1),
        classes=10,
        train_images=60_000,
        model_name="digit_recog_mnist_cnn",
        like_mnist=True,
        train=lambda: _read("train"),
        test=lambda: _read("test"),
    )


def _read(part: str) -> Images:
    path = files("mnist_cnn") / "data" / "mnist.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the MNIST images: {error}; {_RESTORE}") from None
    if hashlib.sha256(content).hexdigest() != MNIST_SHA256:
        raise UserError(f"{path} is damaged: its SHA-256 is not {MNIST_SHA256}; {_RESTORE}")
    with path.open("rb") as file, np.load(file) as arrays:  # reads the named arrays, no others
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    return Images(x[..., np.newaxis].astype(np.float32) / 255, y.astype(np.int32))
