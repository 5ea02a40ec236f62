"""A picture of a few training images of each class."""

import warnings
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images

_MOST_CLASSES = 120  # with more, no name could be read


def draw_examples(dataset: Dataset, train: Images) -> Figure:
    """A row of examples for each class, with its name and how many training images it has."""
    shown = min(dataset.classes, _MOST_CLASSES)
    columns = 1 if shown <= 12 else 2 if shown <= 40 else 3
    rows, examples = ceil(shown / columns), 12 // columns
    figure = Figure(figsize=(9, 0.9 + rows * 9 / (12 + columns)), layout="constrained")
    height, width, _ = dataset.shape
    more = f", the first {shown} of {dataset.classes} classes" if shown < dataset.classes else ""
    figure.suptitle(f"{dataset.name}: training images of {height}x{width} pixels{more}")
    grid = figure.subplots(rows, columns, squeeze=False).T.ravel()
    labels = train.labels
    for axes in grid[shown:]:
        axes.axis("off")
    for label, axes in enumerate(grid[:shown]):
        own = np.flatnonzero(labels == label)
        axes.imshow(_strip(train.x[own[:examples]], examples), cmap="gray", vmin=0, vmax=1)
        axes.spines[:].set_visible(False)
        name = _short(dataset.class_names[label])
        axes.set_xticks([])
        axes.set_yticks([height / 2], [f"{name}\n{len(own):,}"], fontsize=9, parse_math=False)
        axes.tick_params(length=0)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    partly = path.with_name(f"{path.name}.part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        figure.savefig(partly, dpi=144, format="png", bbox_inches="tight")
    partly.replace(path)


def _strip(x: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """Images side by side on white, of shape (height, width, 3), with room for so many."""
    height, width = x.shape[1:3]
    gap = max(1, width // 14)
    strip = np.ones((height, places * (width + gap) - gap, 3), dtype=np.float32)
    scale = 255 if x.dtype == np.uint8 else 1
    for place, image in enumerate(x):
        left = place * (width + gap)
        strip[:, left : left + width] = image / scale
    return strip


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
