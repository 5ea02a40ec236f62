"""A data set: training images to search on, and test images behind a separate call.

A source is a function that returns a `Dataset`. Images are read only when they are asked for.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.images import Images, OnDemand
from mnist_cnn.datasets.splitting import content_keys, set_aside


def _no_test() -> Images:
    raise NotImplementedError  # `__post_init__` replaces it


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The facts about a data set, and functions that read its images.

    Attributes:
        name: The name shown in MLflow.
        digest: SHA-256 of the images in hexadecimal, part of a study's fingerprint.
        shape: (height, width, channels) of one image.
        classes: The number of classes.
        class_names: The names of the classes, in the order of their indices. Default: "0", "1", …
        train_images: The number of images that `train` reads. None if it is unknown until they are
            read.
        test_id: Names the test images: the openings of data sets with the same one are counted
            together. Variants share it. Default: the digest.
        model_name: The registered model of this data set in MLflow. Variants share it, except that
            in colour of images that are like MNIST's. Default: the name of the data set.
        like_mnist: Whether the images are single handwritten digits, prepared as MNIST's are. A
            drawing or a photo is prepared in the same way for models of such a data set.
        train: Reads the images to train and validate on.
        test: Reads the test images. Only evaluation, promotion and the check may call it. If it is
            omitted, about a fifth of what `train` reads is set aside by content, keeping groups
            together, and `train` returns the rest.
        whole: Reads all images, if the test part was set aside from them by content; else None.
            Only evaluation may call it, for a model that has not seen them.
        remarks: One line for each decision that the source made, such as a file it skipped.
    """

    name: str
    digest: str
    shape: tuple[int, int, int]
    classes: int
    train: Callable[[], Images] = field(repr=False)
    test: Callable[[], Images] = field(default=_no_test, repr=False)
    whole: Callable[[], Images] | None = field(default=None, repr=False)
    class_names: tuple[str, ...] = ()
    train_images: int | None = None
    test_id: str = ""
    model_name: str = ""
    like_mnist: bool = False
    remarks: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))
        if not self.test_id:
            object.__setattr__(self, "test_id", self.digest)
        if not self.model_name:  # MLflow cannot use a name with one of these
            object.__setattr__(self, "model_name", re.sub("[/:?\n]", "-", self.name))
        if self.test is _no_test:
            whole = self.train
            object.__setattr__(self, "whole", whole)
            object.__setattr__(self, "train", lambda: _part(whole(), test=False))
            object.__setattr__(self, "test", lambda: _part(whole(), test=True))

    def first(self, images: int) -> "Dataset":
        """The same data set with only the first `images` training images, and its full test set."""
        return replace(
            self._named(f"first-{images}"),
            train_images=None,
            whole=None,
            train=lambda: self.train()[slice(images)],
        )

    def one_hot(self) -> "Dataset":
        """The same data set with one-hot labels, for models that want categorical_crossentropy."""

        def change(images: Images) -> Images:
            return replace(images, y=np.eye(self.classes, dtype=np.float32)[images.labels])

        return self._changed("one-hot", change)

    def rgb(self) -> "Dataset":
        """The same data set with its one channel three times, for models that want colour."""
        shape = (*self.shape[:2], 3)

        def repeat(pixels: NDArray[Any]) -> NDArray[Any]:
            return np.repeat(pixels, 3, axis=3)

        def change(images: Images) -> Images:
            x: Any = images.x
            x = x.changed(repeat, shape) if isinstance(x, OnDemand) else repeat(x)
            return replace(images, x=x)

        # The page draws for both, but a model of grey images cannot be compared with one of these.
        name = f"{self.model_name}-rgb" if self.like_mnist else self.model_name
        return replace(self._changed("rgb", change), shape=shape, model_name=name)

    def _changed(self, change: str, images: Callable[[Images], Images]) -> "Dataset":
        return replace(
            self._named(change),
            whole=None,
            train=lambda: images(self.train()),
            test=lambda: images(self.test()),
        )

    def _named(self, change: str) -> "Dataset":
        digest = hashlib.sha256(f"{self.digest} {change}".encode()).hexdigest()
        return replace(self, name=f"{self.name}-{change}", digest=digest)


def _part(images: Images, test: bool) -> Images:
    """The images set aside from a data set without a test part, or the remaining ones."""
    aside = set_aside(content_keys(images.x), images.labels, images.groups)
    return images[aside == test]
