"""Splits a line of ink into single digits, from left to right.

Connected strokes are one piece (`scipy.ndimage.label`, eight neighbours). Pieces above each other
are one digit, such as the halves of a broken 8; pieces side by side are two. But a piece that is
much shorter than the line belongs to the digit next to it. So does a piece that is somewhat shorter
and sits higher or lower, such as the long bar of a 5. Digits that touch are one piece and come out
as one digit; `Digit.doubtful` marks the likely cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cnn.serving.refusal import Refusal

MAX_DIGITS = 32
INKED = 0.3  # ink above this connects strokes
# Shares of the height of the tallest piece. A piece shorter than SHORT is part of a digit within
# the distance NEAR. So is a piece shorter than SHIFTED that overlaps the digit vertically by less
# than half. Any other piece shorter than SPECK is dirt. None of 5,000 MNIST digits is shorter than
# SHORT.
SHORT, SHIFTED, NEAR, SPECK = 0.45, 0.75, 0.3, 0.2
# The blurred rim that belongs to a stroke, as a share of the digit's height; at least 2 pixels.
_RIM = 0.05
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Digit:
    """One digit in a picture.

    Attributes:
        ink: The ink within the box and a rim around it, without that of other digits: float32 of
            shape (height + rim, width + rim) in [0, 1].
        left: Of the box, in pixels; so are `top`, `width` and `height`.
        doubtful: Whether this is probably more than one digit: too wide for one, so that two must
            touch, or two complete pieces above each other.
    """

    ink: NDArray[np.float32]
    left: int
    top: int
    width: int
    height: int
    doubtful: bool


@dataclass
class _Piece:
    """One or several groups of connected strokes: their labels and bounding box, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int
    labels: list[int] = field(default_factory=list)
    stacked: bool = False

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def gap(self, other: "_Piece") -> int:
        """The number of columns between the two pieces; negative if they overlap."""
        return max(self.left, other.left) - min(self.right, other.right)

    def add(self, other: "_Piece") -> None:
        self.top, self.bottom = min(self.top, other.top), max(self.bottom, other.bottom)
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)
        self.labels += other.labels


def find_digits(ink: NDArray[np.float32]) -> list[Digit]:
    """Find the digits of a line.

    Args:
        ink: (height, width) in [0, 1], 1 is ink.

    Returns:
        The digits from left to right; empty for a blank picture.

    Raises:
        Refusal: 422 for more than 32 digits, or for ink in too many pieces.
    """
    labels, _ = ndimage.label(ink > INKED, structure=_EIGHT_NEIGHBOURS)
    pieces = _pieces(labels)
    if not pieces:
        return []
    tallest = max(piece.height for piece in pieces)
    digits: list[_Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.height < SHORT * tallest, piece.left)):
        _place(piece, digits, tallest)
    if len(digits) > MAX_DIGITS:
        raise Refusal(422, f"more than {MAX_DIGITS} digits; send a single line of digits")
    return [_cut(ink, labels, digit) for digit in sorted(digits, key=lambda digit: digit.left)]


def _pieces(labels: NDArray[np.int32]) -> list[_Piece]:
    """The connected pieces, without specks."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    # Grain gives thousands of specks. They are dropped here, before there is any work per piece.
    large = np.flatnonzero(areas > max(2, 0.01 * areas.max()))
    if len(large) > 8 * MAX_DIGITS:
        raise Refusal(422, "more pieces of ink than a line of digits can have")
    kept = np.zeros(len(areas), dtype=labels.dtype)
    kept[large] = np.arange(1, len(large) + 1)
    boxes = ndimage.find_objects(kept[labels])
    return [
        _Piece(rows.start, rows.stop, columns.start, columns.stop, [int(label)])
        for label, (rows, columns) in zip(large, boxes, strict=True)
    ]


def _place(piece: _Piece, digits: list[_Piece], tallest: int) -> None:
    """Add the piece to the digit that it is part of, or make it a digit. Tall pieces come first."""
    nearest = min(digits, key=piece.gap, default=None)
    if nearest is None:
        digits.append(piece)
        return
    gap, height = piece.gap(nearest), min(piece.height, nearest.height)
    apart = max(piece.top, nearest.top) - min(piece.bottom, nearest.bottom)
    shifted = height < SHIFTED * tallest and -apart < 0.5 * height
    part = (shifted or piece.height < SHORT * tallest) and gap <= NEAR * tallest
    if part or -gap >= 0.5 * min(piece.width, nearest.width):
        nearest.stacked |= apart > 0 and height > 0.6 * tallest
        nearest.add(piece)
    elif piece.height >= SPECK * tallest:
        digits.append(piece)


def _cut(ink: NDArray[np.float32], labels: NDArray[np.int32], piece: _Piece) -> Digit:
    """Cut out the piece's ink, with the blurred rim that is below the threshold."""
    rim = max(2, round(_RIM * piece.height))
    rows = slice(max(0, piece.top - rim), piece.bottom + rim)
    columns = slice(max(0, piece.left - rim), piece.right + rim)
    own = _any_of(labels[rows, columns], piece.labels)
    near = ndimage.distance_transform_edt(~own) <= rim
    foreign = (labels[rows, columns] > 0) & ~own
    return Digit(
        ink=np.where(near & ~foreign, ink[rows, columns], 0).astype(np.float32),
        left=piece.left,
        top=piece.top,
        width=piece.width,
        height=piece.height,
        doubtful=piece.stacked or piece.width > 1.5 * piece.height,
    )


def _any_of(labels: NDArray[np.int32], wanted: Sequence[int]) -> NDArray[np.bool_]:
    return np.isin(labels, np.asarray(wanted, dtype=labels.dtype))
