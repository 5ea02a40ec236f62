"""Ink becomes single digits, read from left to right.

Strokes that hang together are one piece (`scipy.ndimage.label`, eight neighbours). Pieces above
each other, as the halves of a broken 8, are one digit, and pieces beside each other are two; but a
piece that is much shorter than the line belongs to the digit next to it, and so does one that is
shorter and higher or lower, as the long bar of a 5. Digits that touch are one piece and come out as
one digit; `Digit.doubtful` shows where that must be so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cnn.serving.refusal import Refusal

MAX_DIGITS = 32
INKED = 0.3  # ink above this holds strokes together
# Shares of the tallest piece's height: shorter than SHORT is a part of a digit, if one is within
# NEAR of it; so is shorter than SHIFTED, if less than half of it is at that one's height. Shorter
# than SPECK is dirt otherwise. In 5,000 MNIST digits no whole one is shorter than SHORT.
SHORT, SHIFTED, NEAR, SPECK = 0.45, 0.75, 0.3, 0.2
# Of a digit's height: blur around a stroke that is still the stroke's. At least 2 pixels.
_RIM = 0.05
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Digit:
    """One digit in a picture.

    ink: (height + rim, width + rim) in [0, 1], the box's ink without that of other digits.
    left, top, width, height: the box in pixels.
    doubtful: whether it is probably more than one: wider than a digit can be, so that two must
        touch, or made of two whole pieces above each other.
    """

    ink: NDArray[np.float32]
    left: int
    top: int
    width: int
    height: int
    doubtful: bool


@dataclass
class _Piece:
    """Connected strokes: their labels, and the box around them; ends are exclusive."""

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
        """Columns between the two; below 0 the columns that they share."""
        return max(self.left, other.left) - min(self.right, other.right)

    def add(self, other: "_Piece") -> None:
        self.top, self.bottom = min(self.top, other.top), max(self.bottom, other.bottom)
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)
        self.labels += other.labels


def find_digits(ink: NDArray[np.float32]) -> list[Digit]:
    """The digits of a line, from left to right; none if there is no ink.

    ink: (height, width) in [0, 1], 1 is ink.

    Raises Refusal (422) if there are more than 32.
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
        raise Refusal(422, f"there are more than {MAX_DIGITS} digits; send one line of them")
    return [_cut(ink, labels, digit) for digit in sorted(digits, key=lambda digit: digit.left)]


def _pieces(labels: NDArray[np.int32]) -> list[_Piece]:
    """The connected pieces that are no specks."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    # Grain gives thousands of specks: they are dropped before anything is done for each.
    large = np.flatnonzero(areas > max(2, 0.01 * areas.max()))
    if len(large) > 8 * MAX_DIGITS:
        raise Refusal(422, "there are more pieces of ink than a line of digits has")
    kept = np.zeros(len(areas), dtype=labels.dtype)
    kept[large] = np.arange(1, len(large) + 1)
    boxes = ndimage.find_objects(kept[labels])
    return [
        _Piece(rows.start, rows.stop, columns.start, columns.stop, [int(label)])
        for label, (rows, columns) in zip(large, boxes, strict=True)
    ]


def _place(piece: _Piece, digits: list[_Piece], tallest: int) -> None:
    """Add the piece to the digit that it belongs to, or to the digits. The tall ones come first."""
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
    """The piece's ink with the blurred rim that lies below the threshold."""
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
