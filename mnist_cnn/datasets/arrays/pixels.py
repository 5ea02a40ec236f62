"""Turns pixels as people store them, in several shapes and ranges, into bytes."""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.naming import Where
from mnist_cnn.errors import UsageError

_VALID = "0 to 1, 0 to 255, 0 to 65535"


def as_images(where: Where, x: NDArray[Any], planes: bool = False) -> NDArray[Any]:
    """Bring pixels into the shape (n, height, width, channels), with one channel or three.

    Accepts that shape, (n, height, width), (n, pixels) for square images, and PyTorch's
    (n, channels, height, width).

    Args:
        where: How messages refer to the pixels.
        x: Pixels.
        planes: Whether rows of pixels have all red, then all green, then all blue.

    Raises:
        UsageError: For any other shape.
    """
    x = _in_rows(x)
    if x.ndim == 2 and (side := side_of(x.shape[1])):
        channels = x.shape[1] // side**2
        if planes:
            return x.reshape(len(x), channels, side, side).transpose(0, 2, 3, 1)
        return x.reshape(len(x), side, side, channels)
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


def in_planes(x: NDArray[Any]) -> bool | None:
    """Whether rows of RGB pixels have all red, then all green, then all blue, as CIFAR's files do.

    Read in the wrong order, neighbouring rows of an image differ more. Columns would not tell: the
    three channels of a grey pixel are equal.

    Args:
        x: Pixels in a form that `as_images` accepts.

    Returns:
        None if they are not RGB in rows.
    """
    x = _in_rows(x)
    side = side_of(x.shape[1]) if x.ndim == 2 else 0
    if not side or x.shape[1] == side**2 or x.dtype.kind not in "biuf":
        return None
    some = x[:: max(1, len(x) // 50)].astype(np.float32)
    with np.errstate(invalid="ignore"):  # pixels that are not finite are refused later
        planes = np.abs(np.diff(some.reshape(len(some), 3, side, side), axis=2)).sum()
        pixels = np.abs(np.diff(some.reshape(len(some), side, side, 3), axis=1)).sum()
    return bool(planes < 0.9 * pixels)  # with a margin, since noise is equally rough in both


def _in_rows(x: NDArray[Any]) -> NDArray[Any]:
    """Drop the last axis of (n, pixels, 1)."""
    return x[..., 0] if x.ndim == 3 and x.shape[2] == 1 and side_of(x.shape[1]) else x


def side_of(pixels: int) -> int:
    """The side of the square image, grey or RGB, with this many values; 0 if there is none."""
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if side > 1 and side * side * channels == pixels:
            return side
    return 0


def as_bytes(where: Sequence[Where], parts: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """Scale pixels to bytes from a range of 0 to 1, 0 to 255, or 0 to 65535.

    The greatest pixel of all parts decides which range it is.

    Args:
        where: How messages refer to each part's pixels.
        parts: Numbers of any type, of shape (n, height, width, channels).

    Returns:
        uint8 of the same shape for each part.

    Raises:
        UsageError: For pixels that are negative, not finite, or outside these ranges, of which it
            names the first image, and for parts of different ranges.
    """
    tops = [_top(name, x) for name, x in zip(where, parts, strict=True)]
    whites = [_white(name, top) for name, top in zip(where, tops, strict=True)]
    most = tops.index(max(tops))
    for name, top, white in zip(where, tops, whites, strict=True):
        if top > 0 and white != whites[most]:  # black is the same in every range
            raise UsageError(
                f"{name.text} has pixels up to {top:g}, {where[most].text} up to {tops[most]:g}; "
                "scale both to the same range"
            )
    return [_scaled(x, 255 / whites[most]) for x in parts]


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


def _white(where: Where, top: float) -> int:
    """What white is in the range of the greatest pixel: 1, 255 or 65535."""
    if top > 65535:
        raise UsageError(f"{where.text} has pixels up to {top:g}; valid: {_VALID}")
    for white in (1, 255):
        if white < top < 2 * white:  # resizing exceeds a range; in the next, all would be black
            raise UsageError(
                f"{where.text} has pixels up to {top:g}; clip them to {white} if white is {white}"
            )
    return 1 if top <= 1 else 255 if top <= 255 else 65535


def _scaled(x: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    if x.dtype == np.uint8 and scale == 1:
        return np.asarray(x)  # not in memory, if it is mapped
    # Piece by piece: as floats, the whole would take four times the memory.
    scaled = np.empty(x.shape, dtype=np.uint8)
    for start in range(0, len(x), 4096):
        piece = x[start : start + 4096].astype(np.float32)
        scaled[start : start + 4096] = np.rint(piece * np.float32(scale))
    return scaled
