"""Strokes as wide as those of MNIST's writers.

MNIST's digits were all written with much the same pens: at 20 pixels of height, nine tenths of the
60,000 have strokes between 1.7 and 4 pixels wide. A fine pen on a large sheet would leave a shadow
of a digit at that size, and a broad one a blot; so strokes outside a range are brought to its edge.
What lies inside is left alone, and so are MNIST's own digits but for the extremes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# In pixels of a digit whose longer side is 20. Chosen by drawing MNIST's training digits with pens
# of many widths; narrower ranges did no better at any of them, and worse at the usual ones.
THINNEST, BROADEST = 1.7, 4.0
BOX = 20


def even_out(ink: NDArray[np.float32]) -> NDArray[np.float32]:
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
