"""A digit's ink becomes the image that MNIST would hold of it.

A network reads what it was trained on. MNIST's digits all went through the same preparation, so a
drawing goes through it too:

    "The original black and white (bilevel) images from NIST were size normalized to fit in a 20x20
    pixel box while preserving their aspect ratio. The resulting images contain grey levels as a
    result of the anti-aliasing technique used by the normalization algorithm. The images were
    centered in a 28x28 image by computing the center of mass of the pixels, and translating the
    image so as to position this point at the center of the 28x28 field."
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits" (1998)

Two things that the text leaves open were read off the 60,000 training images: the longer side is 20
pixels in 59,987 of them, and the centre of mass lies between 13.5 and 14.5 in all of them, evenly.
So the translation is by whole pixels, and the centre is the pixel with index 14.

And its digits were all written with much the same pens: at 20 pixels of height, four fifths have
strokes between 1.7 and 3.2 pixels wide, and the middle one has 2.5. A fine pen on a large sheet
would leave a shadow of a digit at that size, and a broad one a blot; so strokes outside this range
are brought to its edge, and those inside are left alone.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 28
BOX = 20
CENTRE = 14
# Ink fainter than this is the blurred rim of a stroke, and no part of the bounding box.
RIM = 0.2
# Of a stroke, in pixels of a digit whose longer side is 20. Chosen by drawing MNIST's training
# digits with pens of many widths, for a network that had not seen them: of those drawn with the
# broadest pen it misread 0.2 points less than with a range up to 4.0, and 0.1 less than with the
# narrower one from 2.0 to 2.8.
THINNEST, BROADEST = 1.7, 3.2


def mnist_image(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image of one digit as MNIST holds it: (28, 28) in [0, 1], 1 is ink.

    ink: (height, width) in [0, 1], 1 is ink, of one digit at any size and place.

    Raises ValueError if there is no ink.
    """
    digit = _fit(_crop(_even_out(_crop(ink))))
    height, width = digit.shape
    image = np.zeros((SIDE, SIDE), np.float32)
    top, left = _offset(digit.sum(axis=1)), _offset(digit.sum(axis=0))
    image[top : top + height, left : left + width] = digit
    return image


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The bounding box of the ink."""
    rows = np.flatnonzero(ink.max(axis=1) > RIM)
    columns = np.flatnonzero(ink.max(axis=0) > RIM)
    if not len(rows):
        raise ValueError("there is no ink")
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _even_out(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The digit with its strokes thickened or thinned into MNIST's range.

    ink: (height, width) in [0, 1], 1 is ink, without empty rows and columns around it. Returned
    with a margin where strokes grew; unchanged if its strokes are in the range, or if it is too
    small to tell.
    """
    side = max(ink.shape)
    inked = ink > 0.5
    if side < 2 * BOX or not inked.any():
        return ink
    width = _stroke_width(inked)
    target = min(max(width * BOX / side, THINNEST), BROADEST)
    # A stroke that grows by `grow` on both sides makes the digit larger as well, which is then
    # fitted into the box: (width + 2 grow) * BOX / (side + 2 grow) = target.
    grow = (target * side - BOX * width) / (2 * (BOX - target))
    if abs(grow) < 0.5:
        return ink
    margin = max(0, int(np.ceil(grow))) + 1
    inked = np.pad(inked, margin)
    # Distances from a pixel's centre to the nearest edge of the stroke, above 0 inside it.
    inside = ndimage.distance_transform_edt(inked) - 0.5
    outside = ndimage.distance_transform_edt(~inked) - 0.5
    distance = np.where(inked, inside, -outside) + grow
    moved = np.clip(distance + 0.5, 0, 1).astype(np.float32)  # a ramp of a pixel: antialiased
    return moved if moved.max() == 1 else ink


def _stroke_width(inked: NDArray[np.bool_]) -> float:
    """Mean width in pixels: across a stroke the distances to its edge are 1, 2, … w/2, … 2, 1."""
    distances = ndimage.distance_transform_edt(inked)
    return max(1.0, 4 * float(distances[inked].mean()) - 2)


def _fit(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resize so that the longer side is 20, antialiased.

    Lanczos's filter keeps an edge as sharp as MNIST's are. The mean of what a pixel covers blurs
    a drawing that has soft edges already, and costs 0.1 to 0.3 points of accuracy.
    """
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(ink, np.float32))
    return np.clip(np.asarray(picture.resize(size, Image.Resampling.LANCZOS), np.float32), 0, 1)


def _offset(profile: NDArray[np.float32]) -> int:
    """Where a side must begin for its centre of mass to fall on the centre pixel."""
    centre = float(profile @ np.arange(len(profile)) / profile.sum())
    # All of it stays inside, however lopsided; MNIST's own digits never come near.
    return min(max(round(CENTRE - centre), 0), SIDE - len(profile))
