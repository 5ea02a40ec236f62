"""Finds the ink in a picture: dark on light or light on dark, drawn, scanned or photographed.

The paper of a drawing is even. A photo has light from one side, dark corners and shadows. There a
morphological closing gives the paper: it fills whatever is narrower than its window, as strokes
are, and follows whatever is wider, as shadows are.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

# Of 255 levels. A smaller difference from the paper is grain or a faint shadow.
FAINT = 32
# The interquartile range of the border of even paper, JPEG artefacts included, is at most this.
EVEN = 6
_BINS = 256


def find_ink(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure how much ink is on each pixel.

    Args:
        rgb: uint8 of shape (height, width, 3).

    Returns:
        float32 of shape (height, width) in [0, 1], 1 is full ink; all 0 for a blank picture.
    """
    grey = _clearest_channel(rgb)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    low, paper, high = np.percentile(border, [25, 50, 75])
    even = bool(high - low <= EVEN)
    if even:
        difference = grey - np.float32(paper)
        dark, light = np.maximum(-difference, 0), np.maximum(difference, 0)
        contrast = dark if dark.sum() >= light.sum() else light
    elif _has_dark_ink(grey):
        contrast = _contrast_to_closing(grey)
    else:
        contrast = _contrast_to_closing(255 - grey)
    return _scaled(contrast, even)


def _scaled(contrast: NDArray[np.float32], even: bool) -> NDArray[np.float32]:
    """Scale contrast in 255 levels to shares of full ink in [0, 1]."""
    threshold = _otsu(contrast)
    inked = contrast[contrast > threshold]
    full = np.percentile(inked, 90) if len(inked) else 0.0
    if full < FAINT:
        return np.zeros_like(contrast)
    floor = 0.0 if even else threshold / 2  # a photo's paper is never clean
    share = (contrast - floor) / (full - floor)
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)


def _clearest_channel(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colour channel with the most contrast: blue ink, for example, is darkest in red."""
    spread = rgb[::2, ::2].reshape(-1, 3).std(axis=0)
    return np.asarray(rgb[..., int(spread.argmax())], dtype=np.float32)


def _contrast_to_closing(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much darker each pixel of a photo is than the paper around it, in 255 levels.

    It is relative to the paper's brightness, so that ink is as strong in a shadow as in the light.

    Args:
        grey: (height, width) in [0, 255]; the ink is dark.
    """
    smooth = ndimage.gaussian_filter(grey, 1)
    window = max(3, min(grey.shape) // 4)
    paper = ndimage.grey_closing(smooth, size=(window, window))
    contrast = 255 * (1 - (smooth + 1) / (paper + 1))
    # The closing follows the crests of the grain, above the paper by about the same everywhere.
    return np.asarray(np.maximum(contrast - np.median(contrast), 0), dtype=np.float32)


def _has_dark_ink(grey: NDArray[np.float32]) -> bool:
    """Whether a photo's ink is darker than its paper.

    In a thumbnail, the median around a pixel is paper, since strokes fill less than half of any
    region. Ink differs more from it than grain does; squaring lets strokes outvote grain.
    """
    thumbnail = Image.fromarray(grey).resize(_thumbnail_size(grey.shape), Image.Resampling.BOX)
    small = np.asarray(thumbnail, np.float32)
    difference = small - ndimage.median_filter(small, size=max(3, min(small.shape) // 2))
    dark, light = np.minimum(difference, 0), np.maximum(difference, 0)
    return bool((dark**2).sum() >= (light**2).sum())


def _thumbnail_size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1, 64 / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _otsu(contrast: NDArray[np.float32]) -> float:
    """The threshold between paper and ink that maximises the variance between the two classes.

    Source: N. Otsu, "A Threshold Selection Method from Gray-Level Histograms" (1979).
    """
    counts, edges = np.histogram(contrast, bins=_BINS, range=(0, 256))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    between = below.astype(float) * above * (mean_above - mean_below) ** 2
    # In a drawing every threshold within a wide gap is equally good; take the middle.
    return float(centres[np.flatnonzero(between >= between.max() * (1 - 1e-9))].mean())
