"""Turns a source's images into a `Dataset`; pixels are bytes and are read on demand."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import LARGE_BYTES, Images, OnDemand
from mnist_cnn.datasets.splitting import content_keys, set_aside

Shape = tuple[int, int, int]  # (height, width, channels)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Part:
    """Labelled images whose pixels need not be in memory.

    Attributes:
        labels: Class indices, int32 of shape (n,).
        keys: A hash of each image's content.
        shape: (height, width, channels) of one image.
        pixels: Reads the images at the given indices, uint8 of shape (k, height, width, channels).
        groups: As in `Images`.
        names: As in `Images`.
    """

    labels: NDArray[np.int32]
    keys: Sequence[str]
    shape: Shape
    pixels: Callable[[NDArray[np.intp]], NDArray[np.uint8]]
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Part":
        index = np.flatnonzero(chosen)
        return Part(
            labels=self.labels[index],
            keys=[self.keys[place] for place in index.tolist()],
            shape=self.shape,
            pixels=lambda places: self.pixels(index[places]),
            groups=None if self.groups is None else self.groups[index],
            names=None if self.names is None else self.names[index],
        )

    def images(self) -> Images:
        """Read all images, as float32 in [0, 1]. A large part is bytes that are read on demand."""
        everything = np.arange(len(self.labels))
        if len(everything) * prod(self.shape) > LARGE_BYTES:
            pixels: Any = OnDemand(everything, self.shape, self.pixels)
        else:
            pixels = self.pixels(everything).astype(np.float32) / np.float32(255)
        return Images(pixels, self.labels, self.groups, self.names)


def in_memory(
    x: NDArray[np.uint8],
    labels: NDArray[np.int32],
    groups: NDArray[Any] | None = None,
    names: NDArray[np.str_] | None = None,
) -> Part:
    """A part whose pixels `x` are in memory, uint8 of shape (n, height, width, channels)."""
    return Part(
        labels=labels,
        keys=content_keys(x),
        shape=(x.shape[1], x.shape[2], x.shape[3]),
        pixels=lambda index: x[index],
        groups=groups,
        names=names,
    )


def assemble(
    name: str,
    shape: Shape,
    class_names: Sequence[str],
    train: Part,
    test: Part | None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Make a data set from a training and a test part.

    Its digest covers the class names and each image's content, label and group, but not the format
    or the names of the files.

    Args:
        name: The name of the data set.
        shape: (height, width, channels) of one image.
        class_names: The names of the classes, in the order of their indices.
        train: The images to train and validate on.
        test: The test images. None sets aside about a fifth of `train`.
        remarks: The source's decisions, one line each.
    """
    facts = [shape, list(class_names), _facts(train), test and _facts(test)]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    notes, whole = list(remarks), None
    if test is None:
        whole = train.images
        aside = set_aside(train.keys, train.labels, train.groups)
        train, test = train[~aside], train[aside]
        notes.append(
            f"there is no test part: {aside.sum():,} of {len(aside):,} images are set aside to "
            "test on, chosen by their content"
        )
    return Dataset(
        name=name,
        digest=digest,
        shape=shape,
        classes=len(class_names),
        class_names=tuple(class_names),
        train_images=len(train.keys),
        train=train.images,
        test=test.images,
        whole=whole,
        remarks=tuple(notes),
    )


def _facts(part: Part) -> list[tuple[str, int, str]]:
    groups = [""] * len(part.keys) if part.groups is None else part.groups.astype(str).tolist()
    return list(zip(part.keys, part.labels.tolist(), groups, strict=True))
