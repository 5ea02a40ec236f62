"""A picture becomes ink on paper: dark on light or light on dark, drawn, scanned or photographed.

A drawing has one even paper. A photo has light from one side, darker corners and shadows. There the
paper is what a morphological closing leaves: it fills everything narrower than its window, which
strokes are, and follows what is wider, which shadows are.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

# Of 255 levels: what differs less from the paper is the paper's own grain or a faint shadow.
FAINT = 32
# An even paper's border spreads over no more levels than this, whatever a JPEG does to it.
EVEN = 6
_BINS = 256


def find_ink(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much ink is on each pixel: (height, width) in [0, 1]; all 0 if there is none.

    rgb: uint8 of shape (height, width, 3).
    """
    grey = _clearest_channel(rgb)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    low, paper, high = np.percentile(border, [25, 50, 75])
    even = bool(high - low <= EVEN)
    if even:
        difference = grey - np.float32(paper)
        dark, light = np.maximum(-difference, 0), np.maximum(difference, 0)
        contrast = dark if dark.sum() >= light.sum() else light
    else:
        contrast = _above_closing(grey if _is_dark(grey) else 255 - grey)
    return _scaled(contrast, even)


def _scaled(contrast: NDArray[np.float32], even: bool) -> NDArray[np.float32]:
    """Levels of contrast to shares of full ink."""
    threshold = _otsu(contrast)
    inked = contrast[contrast > threshold]
    full = np.percentile(inked, 90) if len(inked) else 0.0
    if full < FAINT:
        return np.zeros_like(contrast)
    floor = 0.0 if even else threshold / 2  # on a photo's paper there is always something
    share = (contrast - floor) / (full - floor)
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)


def _clearest_channel(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of red, green and blue the one with most contrast: blue ink is darkest in red."""
    spread = rgb[::2, ::2].reshape(-1, 3).std(axis=0)
    return np.asarray(rgb[..., int(spread.argmax())], dtype=np.float32)


def _above_closing(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much darker than the paper around it each pixel of a photo is; ink is dark.

    As a share of the paper's brightness, in 255 levels: ink in a shadow is as strong as in light.
    """
    smooth = ndimage.gaussian_filter(grey, 1)
    window = max(3, min(grey.shape) // 4)
    paper = ndimage.grey_closing(smooth, size=(window, window))
    contrast = 255 * (1 - (smooth + 1) / (paper + 1))
    # The closing lies on the grain's crests, everywhere by about as much.
    return np.asarray(np.maximum(contrast - np.median(contrast), 0), dtype=np.float32)


def _is_dark(grey: NDArray[np.float32]) -> bool:
    """Whether a photo's ink is darker than its paper.

    Seen from afar, the median around a pixel is paper: strokes fill less than half of any place.
    Ink is what departs farther from it; squared, so that strokes outvote grain.
    """
    far = np.asarray(
        Image.fromarray(grey).resize(_thumbnail(grey.shape), Image.Resampling.BOX), np.float32
    )
    difference = far - ndimage.median_filter(far, size=max(3, min(far.shape) // 2))
    dark, light = np.minimum(difference, 0), np.maximum(difference, 0)
    return bool((dark**2).sum() >= (light**2).sum())


def _thumbnail(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1, 64 / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _otsu(contrast: NDArray[np.float32]) -> float:
    """The threshold that parts ink from paper best: the one with the greatest variance between.

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
    # A drawing has a wide gap between the two, and every threshold in it is as good.
    return float(centres[np.flatnonzero(between >= between.max() * (1 - 1e-9))].mean())
