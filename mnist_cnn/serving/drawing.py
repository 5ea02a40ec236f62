"""Turns the ink of one digit into a 28x28 image, the way MNIST's images were made.

A network classifies well only what looks like its training data. All MNIST digits went through the
same preprocessing, so a drawing must too:

    "The original black and white (bilevel) images from NIST were size normalized to fit in a 20x20
    pixel box while preserving their aspect ratio. The resulting images contain grey levels as a
    result of the anti-aliasing technique used by the normalization algorithm. The images were
    centered in a 28x28 image by computing the center of mass of the pixels, and translating the
    image so as to position this point at the center of the 28x28 field."
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits" (1998)

The text leaves two things open. Both were measured on the 60,000 training images: the longer side
is 20 pixels in 59,987 of them, and the centre of mass is uniformly spread between 13.5 and 14.5 in
all of them. So the translation is by whole pixels, and the centre is the pixel with index 14.

MNIST's pens were also similar. At 20 pixels, four fifths of the digits have strokes 1.7 to 3.2
pixels wide, and the median is 2.5. A fine pen on a large sheet would leave only a shadow of a digit
at that size, and a broad pen a blot. So strokes outside this range are brought to its nearest end;
strokes within it stay as they are.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 28
BOX = 20
CENTRE = 14
# Fainter ink is the blurred rim of a stroke; the bounding box leaves it out.
RIM = 0.2
# Stroke widths in pixels, in a digit whose longer side is 20. Chosen on training digits, redrawn
# with pens of many widths and classified by a network that had not seen them. With the broadest
# pen, its error was 0.2 points lower than with a range up to 4.0, and 0.1 points lower than with
# 2.0 to 2.8.
THINNEST, BROADEST = 1.7, 3.2


def mnist_image(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Preprocess one digit as MNIST does.

    Args:
        ink: The ink of one digit of any size and position: (height, width) in [0, 1], 1 is ink.

    Returns:
        float32 of shape (28, 28) in [0, 1], 1 is ink.

    Raises:
        ValueError: There is no ink.
    """
    digit = _fit(_crop(_even_out(_crop(ink))))
    height, width = digit.shape
    image = np.zeros((SIDE, SIDE), np.float32)
    top, left = _offset(digit.sum(axis=1)), _offset(digit.sum(axis=0))
    image[top : top + height, left : left + width] = digit
    return image


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Crop to the bounding box of the ink."""
    rows = np.flatnonzero(ink.max(axis=1) > RIM)
    columns = np.flatnonzero(ink.max(axis=0) > RIM)
    if not len(rows):
        raise ValueError("there is no ink")
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _even_out(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thicken or thin the strokes into MNIST's range.

    Args:
        ink: (height, width) in [0, 1], 1 is ink, cropped.

    Returns:
        The same digit, with a margin where strokes grew. It is `ink` itself if the strokes are
        within the range, or if the digit is too small for its strokes to be measured.
    """
    side = max(ink.shape)
    inked = ink > 0.5
    if side < 2 * BOX or not inked.any():
        return ink
    width = _stroke_width(inked)
    target = min(max(width * BOX / side, THINNEST), BROADEST)
    # Growing a stroke by `grow` on both sides also enlarges the digit, which is then scaled to the
    # box. So we solve (width + 2 grow) * BOX / (side + 2 grow) = target.
    grow = (target * side - BOX * width) / (2 * (BOX - target))
    if abs(grow) < 0.5:
        return ink
    margin = max(0, int(np.ceil(grow))) + 1
    inked = np.pad(inked, margin)
    # Signed distance from a pixel's centre to the edge of the stroke; positive inside.
    inside = ndimage.distance_transform_edt(inked) - 0.5
    outside = ndimage.distance_transform_edt(~inked) - 0.5
    distance = np.where(inked, inside, -outside) + grow
    moved = np.clip(distance + 0.5, 0, 1).astype(np.float32)  # a ramp one pixel wide: antialiased
    return moved if moved.max() == 1 else ink


def _stroke_width(inked: NDArray[np.bool_]) -> float:
    """Mean width in pixels: across a stroke, distances to the edge are 1, 2, …, w/2, …, 2, 1."""
    distances = ndimage.distance_transform_edt(inked)
    return max(1.0, 4 * float(distances[inked].mean()) - 2)


def _fit(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the longer side to 20 pixels, antialiased.

    The Lanczos filter keeps edges as sharp as MNIST's. A box filter would blur a drawing whose
    edges are soft already, and cost 0.1 to 0.3 points of accuracy.
    """
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(ink, np.float32))
    return np.clip(np.asarray(picture.resize(size, Image.Resampling.LANCZOS), np.float32), 0, 1)


def _offset(profile: NDArray[np.float32]) -> int:
    """The offset along one axis that puts the centre of mass on the centre pixel."""
    centre = float(profile @ np.arange(len(profile)) / profile.sum())
    # Clamped so that a lopsided drawing stays inside the image; MNIST's digits never get there.
    return min(max(round(CENTRE - centre), 0), SIDE - len(profile))
