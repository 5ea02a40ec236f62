"""A picture of a few training images of each class."""

import warnings
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images
from mnist_cnn.datasets.naming import short

_MOST_CLASSES = 120  # more could not be read


def draw_examples(dataset: Dataset, train: Images) -> Figure:
    """Draw a row of examples for each class, with its name and number of training images."""
    shown = min(dataset.classes, _MOST_CLASSES)
    columns = 1 if shown <= 12 else 2 if shown <= 40 else 3
    rows, examples = ceil(shown / columns), 12 // columns
    figure = Figure(figsize=(9, 0.9 + rows * 9 / (12 + columns)), layout="constrained")
    height, width, _ = dataset.shape
    more = f", the first {shown} of {dataset.classes} classes" if shown < dataset.classes else ""
    figure.suptitle(
        f"{dataset.name}: training images of {height}x{width} pixels{more}", parse_math=False
    )
    grid = figure.subplots(rows, columns, squeeze=False).T.ravel()
    labels = train.labels
    for axes in grid[shown:]:
        axes.axis("off")
    for label, axes in enumerate(grid[:shown]):
        own = np.flatnonzero(labels == label)
        axes.imshow(_strip(train.x[own[:examples]], examples), cmap="gray", vmin=0, vmax=1)
        axes.spines[:].set_visible(False)
        name = short(dataset.class_names[label], 16)
        axes.set_xticks([])
        axes.set_yticks([height / 2], [f"{name}\n{len(own):,}"], fontsize=9, parse_math=False)
        axes.tick_params(length=0)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, completely or not at all."""
    partly = path.with_name(f"{path.name}.part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about characters that the font lacks
        figure.savefig(partly, dpi=144, format="png", bbox_inches="tight")
    partly.replace(path)


def _strip(x: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """Images side by side on white with room for `places`, of shape (height, width, 3)."""
    height, width = x.shape[1:3]
    gap = max(1, width // 14)
    strip = np.ones((height, places * (width + gap) - gap, 3), dtype=np.float32)
    scale = 255 if x.dtype == np.uint8 else 1
    for place, image in enumerate(x):
        left = place * (width + gap)
        strip[:, left : left + width] = image / scale
    return strip
