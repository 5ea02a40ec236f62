"""Warnings about a data set that a search can run on."""

from collections import defaultdict
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.check import check_parts
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images, OnDemand
from mnist_cnn.datasets.naming import some
from mnist_cnn.datasets.splitting import content_keys

_SAMPLE_BYTES, _SAMPLE_PLACES = 2**25, 16  # of pixels of a large part
_DIM = 0.25  # if all pixels are darker than this, their range is probably wrong


def warnings(dataset: Dataset) -> list[str]:
    """The warnings about a data set, one line each.

    Reports the remarks of the source, identical images, in particular with different labels or in
    both parts, groups in both parts, light images among dark ones, images of a single colour, and
    pixels that use only a fraction of their range. Reads both parts, without a model. In a large
    part only some images are checked, and one of the lines says so.

    Raises:
        UsageError: If a search would refuse the data set.
    """
    train, test = dataset.train(), dataset.test()
    check_parts(dataset, train, test)
    return warnings_of(dataset, train, test)


def warnings_of(dataset: Dataset, train: Images, test: Images) -> list[str]:
    """As `warnings`, for parts that have already been read and pass the check."""
    lines = [*dataset.remarks, *_shared_groups(train, test)]
    everything = len(train) + len(test)
    train, test = _sample(train), _sample(test)
    if (looked_at := len(train) + len(test)) < everything:
        lines.append(
            f"duplicates, inverted, plain and dim images were looked for among {looked_at:,} of "
            f"{everything:,} images only, because there are so many pixels"
        )
    return [
        *lines,
        *_equal_images(dataset, train, test),
        *_mixed_polarity(train, test),
        *_plain_images(train, test),
        *_dim_pixels(train, test),
    ]


def _sample(images: Images) -> Images:
    """The images themselves, or some of a part that may not fit in memory.

    They are neighbours in a few places that are evenly spread. From many places, a disk that reads
    ahead would read everything.
    """
    if not isinstance(images.x, OnDemand):
        return images
    neighbours = max(1, _SAMPLE_BYTES // prod(images.x.shape[1:]) // _SAMPLE_PLACES)
    neighbours = min(neighbours, len(images))
    places = np.linspace(0, len(images) - neighbours, _SAMPLE_PLACES).astype(np.intp)
    chosen = np.unique(places[:, np.newaxis] + np.arange(neighbours))
    names = np.array([images.name(index) for index in chosen.tolist()])
    return replace(images[chosen], names=names).scaled()


def _equal_images(dataset: Dataset, train: Images, test: Images) -> list[str]:
    found = defaultdict(list)
    for part, images in (("training", train), ("test", test)):
        facts = zip(content_keys(images.x), images.labels.tolist(), strict=True)
        for index, (key, label) in enumerate(facts):
            found[key].append((part, images, index, label))
    equal = [images for images in found.values() if len(images) > 1]

    def line(chosen: list[list[tuple[str, Images, int, int]]], text: str) -> list[str]:
        if not chosen:
            return []
        pairs = [
            " = ".join(
                f"{images.name(index)} ({part}, {dataset.class_names[label]})"
                for part, images, index, label in same[:2]
            )
            for same in chosen
        ]
        return [f"{text}: {len(chosen):,}; {some(pairs, 2)}"]

    both = [same for same in equal if len({part for part, *_ in same}) > 1]
    contrary = [same for same in equal if len({label for *_, label in same}) > 1]
    return [
        *line(equal, "images that occur more than once"),
        *line(both, "images in both the training and the test part"),
        *line(contrary, "identical images with different labels"),
    ]


def _shared_groups(train: Images, test: Images) -> list[str]:
    if train.groups is None or test.groups is None:
        return []
    shared = [str(group) for group in np.intersect1d(train.groups, test.groups)]
    if not shared:
        return []
    return [f"groups in both the training and the test part: {some(shared)}"]


def _mixed_polarity(train: Images, test: Images) -> list[str]:
    """Drawings are dark on light or light on dark, by their edges; photographs are neither."""
    light, dark, total = [], [], 0
    for images in (train, test):
        edges = _edges(images.x)
        low, high = np.quantile(edges, (0.1, 0.9), axis=1)
        light += [images.name(index) for index in np.flatnonzero(low > 0.6).tolist()]
        dark += [images.name(index) for index in np.flatnonzero(high < 0.4).tolist()]
        total += len(images)
    few, kind = min(
        (light, "dark on light"), (dark, "light on dark"), key=lambda pair: len(pair[0])
    )
    if not few or len(light) + len(dark) < 0.9 * total:
        return []
    return [
        f"{len(few):,} of {total:,} images are {kind}, unlike the others: {some(few)}; "
        "invert them unless this is intended"
    ]


def _edges(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The brightness of the edge pixels of each image, in [0, 1], of shape (n, pixels)."""
    sides = [x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]]
    return np.asarray(np.concatenate([_brightness(side) for side in sides], axis=1))


def _brightness(x: NDArray[np.float32]) -> NDArray[np.float32]:
    grey = x.mean(axis=-1, dtype=np.float32)
    return np.asarray(grey / np.float32(255) if x.dtype == np.uint8 else grey)


def _plain_images(train: Images, test: Images) -> list[str]:
    names = []
    for images in (train, test):
        flat = images.x.reshape(len(images), -1)
        names += [
            images.name(index) for index in np.flatnonzero(np.ptp(flat, axis=1) == 0).tolist()
        ]
    return [f"images of a single colour: {len(names):,}; {some(names)}"] if names else []


def _dim_pixels(train: Images, test: Images) -> list[str]:
    """In each part: one of them may be scaled as the other is not."""
    dim = []
    for part, images in (("training", train), ("test", test)):
        top = float(images.x.max()) / (255 if images.x.dtype == np.uint8 else 1)
        if top < _DIM:
            dim.append(f"{top:.0%} of white in the {part} part")
    if not dim:
        return []
    return [f"the brightest pixel is only {' and '.join(dim)}; check the range of the pixels"]
