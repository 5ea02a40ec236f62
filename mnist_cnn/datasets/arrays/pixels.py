"""Turns pixels as people store them, in several shapes and ranges, into bytes."""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.naming import Where
from mnist_cnn.errors import UsageError

_VALID = "0 to 1, 0 to 255, 0 to 65535"


def as_images(where: Where, x: NDArray[Any]) -> NDArray[Any]:
    """Bring pixels into the shape (n, height, width, channels), with one channel or three.

    Accepts that shape, (n, height, width), (n, pixels) for square images, and PyTorch's
    (n, channels, height, width).

    Raises:
        UsageError: For any other shape.
    """
    if x.ndim == 3 and x.shape[2] == 1 and side_of(x.shape[1]):
        x = x[..., 0]
    if x.ndim == 2 and (side := side_of(x.shape[1])):
        return x.reshape(len(x), side, side, x.shape[1] // side**2)
    if x.ndim == 3:
        return x[..., np.newaxis]
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return x
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x.transpose(0, 2, 3, 1)
    raise UsageError(
        f"{where.text} has the shape {x.shape}; expected (images, height, width) or (images, "
        "height, width, channels), with one channel or three"
    )


def side_of(pixels: int) -> int:
    """The side of the square image, grey or RGB, with this many values; 0 if there is none."""
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if side > 1 and side * side * channels == pixels:
            return side
    return 0


def as_bytes(where: Sequence[Where], parts: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """Scale pixels to bytes from a range of 0 to 1, 0 to 255, or 0 to 65535.

    The greatest pixel of all parts together decides which range it is.

    Args:
        where: How messages refer to each part's pixels.
        parts: Numbers of any type, of shape (n, height, width, channels).

    Returns:
        uint8 of the same shape for each part.

    Raises:
        UsageError: For pixels that are negative, not finite, or outside these ranges. It names the
            first such image.
    """
    tops = [_top(name, x) for name, x in zip(where, parts, strict=True)]
    top = max(tops)
    name, x = where[tops.index(top)], parts[tops.index(top)]
    if top > 65535:
        raise UsageError(f"{name.text} has pixels up to {top:g}; valid: {_VALID}")
    if 1 < top < 2 and x.dtype.kind == "f":
        raise UsageError(f"{name.text} has pixels up to {top:g}; clip them to 1 if white is 1")
    scale = 255.0 if top <= 1 else 1.0 if top <= 255 else 1 / 257
    return [_scaled(x, scale) for x in parts]


def _top(where: Where, x: NDArray[Any]) -> float:
    if x.dtype.kind not in "biuf":
        raise UsageError(f"{where.text} is {x.dtype}; expected numbers")
    if not x.size:
        raise UsageError(f"{where.text} has no images")
    # Each reads the whole file if `x` is mapped. NaN if any pixel is.
    low = 0.0 if x.dtype.kind in "bu" else float(x.min())
    top = float(x.max())
    if low >= 0 and top < float("inf"):
        return top
    wrong = ~np.isfinite(x) if np.isnan(low) or top == float("inf") else x < 0
    image = int(np.flatnonzero(wrong.reshape(len(x), -1).any(axis=1))[0])
    value = x[image][wrong[image]][0]
    raise UsageError(f"{where.at(image)} has a pixel of {value:g}; valid: {_VALID}")


def _scaled(x: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    if x.dtype == np.uint8 and scale == 1:
        return np.asarray(x)  # not in memory, if it is mapped
    # Piece by piece: as floats, the whole would take four times the memory.
    scaled = np.empty(x.shape, dtype=np.uint8)
    for start in range(0, len(x), 4096):
        piece = x[start : start + 4096].astype(np.float32)
        scaled[start : start + 4096] = np.rint(piece * np.float32(scale))
    return scaled
