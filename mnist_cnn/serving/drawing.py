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
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cnn.serving import pen

SIDE = 28
BOX = pen.BOX
CENTRE = 14
# Ink fainter than this is the blurred rim of a stroke, and no part of the bounding box.
RIM = 0.2


def mnist_image(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image of one digit as MNIST holds it: (28, 28) in [0, 1], 1 is ink.

    ink: (height, width) in [0, 1], 1 is ink, of one digit at any size and place.

    Raises ValueError if there is no ink.
    """
    digit = _fit(_crop(pen.even_out(_crop(ink))))
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


def _fit(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resize so that the longer side is 20; each pixel becomes the mean of what it covers."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(ink, np.float32))
    return np.clip(np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32), 0, 1)


def _offset(profile: NDArray[np.float32]) -> int:
    """Where a side must begin for its centre of mass to fall on the centre pixel."""
    centre = float(profile @ np.arange(len(profile)) / profile.sum())
    # All of it stays inside, however lopsided; MNIST's own digits never come near.
    return min(max(round(CENTRE - centre), 0), SIDE - len(profile))
