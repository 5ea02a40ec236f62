"""Data sets: training images to search on, and a test set behind a call of its own.

A data set is a function that returns a `Dataset`; reading is put off until images are asked for,
so a search never even opens the test images.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.errors import UserError

MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images; equal only to themselves, as arrays are too large to compare.

    x: float32 of shape (n, height, width, channels) in [0, 1].
    y: int32 of shape (n,), class indices in [0, classes); or one-hot, float32 of (n, classes).
    """

    x: NDArray[np.float32]
    y: NDArray[np.int32] | NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class indices, int32 of shape (n,), however `y` holds them."""
        found = self.y.argmax(axis=1) if self.y.ndim == 2 else self.y
        return np.asarray(found, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: NDArray[np.intp] | slice) -> "Images":
        return Images(self.x[index], self.y[index])


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a search needs to know of a data set.

    name: as it is shown in MLflow.
    digest: SHA-256 of the images, in hexadecimal; part of a study's fingerprint.
    shape: (height, width, channels) of one image.
    classes: number of classes.
    train: reads the images to train and validate on.
    test: reads the test images. Only evaluation and promotion may call it.
    """

    name: str
    digest: str
    shape: tuple[int, int, int]
    classes: int
    train: Callable[[], Images]
    test: Callable[[], Images]

    def first(self, images: int) -> "Dataset":
        """The same data set with only the first `images` training images; its test set whole."""
        return replace(self._named(f"first-{images}"), train=lambda: self.train()[slice(images)])

    def one_hot(self) -> "Dataset":
        """The same data set with one-hot labels, for models that want categorical_crossentropy."""

        def change(images: Images) -> Images:
            return Images(images.x, np.eye(self.classes, dtype=np.float32)[images.labels])

        return self._changed("one-hot", change)

    def rgb(self) -> "Dataset":
        """The same data set with its one channel three times, for models that want colour."""

        def change(images: Images) -> Images:
            return Images(np.repeat(images.x, 3, axis=3), images.y)

        return replace(self._changed("rgb", change), shape=(*self.shape[:2], 3))

    def _changed(self, change: str, images: Callable[[Images], Images]) -> "Dataset":
        return replace(
            self._named(change),
            train=lambda: images(self.train()),
            test=lambda: images(self.test()),
        )

    def _named(self, change: str) -> "Dataset":
        digest = hashlib.sha256(f"{self.digest} {change}".encode()).hexdigest()
        return replace(self, name=f"{self.name}-{change}", digest=digest)


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Divide `images` into (train, validation), each class in the same proportion.

    fraction: share of each class that goes to validation, in (0, 1), rounded to whole images.
    seed: the same seed gives the same two parts; their order is shuffled.
    """
    random = np.random.default_rng(seed)
    validation = np.zeros(len(images), dtype=bool)
    labels = images.labels
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        validation[members[: round(len(members) * fraction)]] = True
    order = random.permutation(len(images))
    return images[order[~validation[order]]], images[order[validation[order]]]


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
        train=lambda: _read_mnist("train"),
        test=lambda: _read_mnist("test"),
    )


def _read_mnist(part: str) -> Images:
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


_RESTORE = "restore it with `git checkout -- mnist_cnn/data/mnist.npz`"
