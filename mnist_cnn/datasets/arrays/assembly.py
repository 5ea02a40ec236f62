"""Turns arrays of pixels and labels, as a file stores them, into a `Dataset`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.labels import numbered
from mnist_cnn.datasets.arrays.pixels import as_bytes, as_images
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where
from mnist_cnn.datasets.parts import assemble, in_memory
from mnist_cnn.errors import UsageError


@dataclass(frozen=True, eq=False, repr=False)
class Arrays:
    """A part as it is stored.

    Attributes:
        x: Pixels in a form that `as_images` and `as_bytes` accept.
        y: Labels in a form that `numbered` accepts.
        x_where: How messages refer to the pixels.
        y_where: How messages refer to the labels.
        groups: As in `Images`.
        names: As in `Images`.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    x_where: Where
    y_where: Where
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None


def of_arrays(
    name: str,
    train: Arrays,
    test: Arrays | None,
    class_names: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Make a data set from arrays.

    Args:
        name: The name of the data set.
        train: The images to train and validate on.
        test: The test images. None sets aside about a fifth of `train`.
        class_names: The names of labels that are not called by their own text.
        remarks: The source's decisions, one line each.

    Raises:
        UsageError: For invalid pixels, labels or lengths. It names the array and, where it can, the
            image.
    """
    parts = [train] if test is None else [train, test]
    images = [as_images(part.x_where, part.x) for part in parts]
    for part in parts:
        _check_lengths(part)
    if len({x.shape[1:] for x in images}) > 1:
        raise UsageError(
            f"{train.x_where.text} has images of {images[0].shape[1:]}, {parts[1].x_where.text} of "
            f"{images[1].shape[1:]}; expected one shape"
        )
    pixels = as_bytes([part.x_where for part in parts], images)
    texts, labels = numbered([part.y_where for part in parts], [part.y for part in parts])
    made = [
        in_memory(x, y, part.groups, part.names)
        for x, y, part in zip(pixels, labels, parts, strict=True)
    ]
    height, width, channels = images[0].shape[1:]
    known = class_names or {}
    return assemble(
        name,
        (height, width, channels),
        [known.get(text, text) for text in texts],
        made[0],
        made[1] if test else None,
        remarks,
    )


def _check_lengths(part: Arrays) -> None:
    images = len(part.x)
    for found, where in ((part.y, part.y_where.text), (part.groups, "its groups")):
        if found is not None and (found.ndim == 0 or len(found) != images):
            count = "one value" if found.ndim == 0 else f"{len(found):,} entries"
            raise UsageError(f"{part.x_where.text} has {images:,} images, {where} {count}")
