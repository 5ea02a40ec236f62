"""A data set: training images to search on, and a test set behind a call of its own.

A data set is a function that returns a `Dataset`; reading is put off until images are asked for.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mnist_cnn.datasets.images import Images
from mnist_cnn.datasets.splitting import content_keys, set_aside


def _no_test() -> Images:
    raise NotImplementedError  # replaced as soon as the data set is made


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a search needs to know of a data set.

    name: as it is shown in MLflow.
    digest: SHA-256 of the images, in hexadecimal; part of a study's fingerprint.
    shape: (height, width, channels) of one image.
    classes: number of classes.
    class_names: what the classes are called, in the order of their indices; their numbers if it is
        left out.
    train: reads the images to train and validate on.
    test: reads the test images. Only evaluation, promotion and the check may call it. If it is left
        out, about a fifth of what `train` reads is set aside by content, whole groups if it has
        any, and `train` gives the rest.
    remarks: one line on each thing that the reader decided or left out, for `warnings`.
    """

    name: str
    digest: str
    shape: tuple[int, int, int]
    classes: int
    train: Callable[[], Images]
    test: Callable[[], Images] = _no_test
    class_names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))
        if self.test is _no_test:
            whole = self.train
            object.__setattr__(self, "train", lambda: _part(whole(), test=False))
            object.__setattr__(self, "test", lambda: _part(whole(), test=True))

    def first(self, images: int) -> "Dataset":
        """The same data set with only the first `images` training images; its test set whole."""
        return replace(self._named(f"first-{images}"), train=lambda: self.train()[slice(images)])

    def one_hot(self) -> "Dataset":
        """The same data set with one-hot labels, for models that want categorical_crossentropy."""

        def change(images: Images) -> Images:
            return replace(images, y=np.eye(self.classes, dtype=np.float32)[images.labels])

        return self._changed("one-hot", change)

    def rgb(self) -> "Dataset":
        """The same data set with its one channel three times, for models that want colour."""

        def change(images: Images) -> Images:
            return replace(images, x=np.repeat(images.x, 3, axis=3))

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


def _part(images: Images, test: bool) -> Images:
    """What is set aside of a data set without a test part, or what is left."""
    aside = set_aside(content_keys(images.x), images.labels, images.groups)
    return images[aside == test]
