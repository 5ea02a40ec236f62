"""The `data` subcommand: shows a data set before a search."""

from pathlib import Path

import numpy as np

from mnist_cnn.datasets.check import check_parts
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images
from mnist_cnn.datasets.naming import printable
from mnist_cnn.datasets.source import open_dataset
from mnist_cnn.datasets.survey import warnings_of
from mnist_cnn.errors import UsageError, UserError


def show_data(path: Path, picture: Path | None = None) -> None:
    """Print the number of images of each class at a path, and warnings about them.

    Args:
        path: A folder or a file.
        picture: A PNG file to write examples of each class to, or None.

    Raises:
        UsageError: If a search would refuse the data set. Everything else is printed first.
        UserError: If the picture cannot be written.
    """
    if picture is not None:
        _check_target(picture)
    unreadable: list[str] = []
    dataset = open_dataset(path, unreadable)
    train, test = dataset.train(), dataset.test()
    print("\n".join(_lines(dataset, train, test)))
    for line in unreadable:
        print(line)
    if len(train) and len(test):
        for line in warnings_of(dataset, train, test):
            print(f"note: {line}")
    if picture is not None:
        _draw(dataset, train, picture)
    if unreadable:
        count = f"{len(unreadable):,} picture{'s' if len(unreadable) > 1 else ''}"
        raise UsageError(f"{count} listed above cannot be read; repair or remove them")
    check_parts(dataset, train, test)


def _lines(dataset: Dataset, train: Images, test: Images) -> list[str]:
    height, width, channels = dataset.shape
    colour = "grey" if channels == 1 else "colour" if channels == 3 else f"{channels} channels"
    counts = [
        np.bincount(images.labels, minlength=dataset.classes).tolist() for images in (train, test)
    ]
    rows = [("class", "training", "test")]
    rows += [
        (name, f"{training:,}", f"{testing:,}")
        for name, training, testing in zip(dataset.class_names, *counts, strict=True)
    ]
    rows.append(("all", f"{len(train):,}", f"{len(test):,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{dataset.name}: {len(train) + len(test):,} images of {dataset.classes} classes, "
        f"{height}x{width} pixels, {colour}; digest {dataset.digest[:12]}…",
        "",
        *(f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows),
        "",
    ]


def _check_target(picture: Path) -> None:
    if picture.suffix.lower() != ".png":
        raise UsageError(f"--picture {printable(str(picture))!r} is not a .png file")
    if not picture.parent.is_dir():
        raise UsageError(f"there is no folder {printable(str(picture.parent))!r} for the picture")


def _draw(dataset: Dataset, train: Images, picture: Path) -> None:
    from mnist_cnn.datasets.example_images import draw_examples, save_png

    try:
        save_png(draw_examples(dataset, train), picture)
    except OSError as error:
        raise UserError(f"cannot write {printable(str(picture))}: {error.strerror}") from None
    print(f"{picture}: examples of each class")
