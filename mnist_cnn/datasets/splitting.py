"""Splits: training and validation by a seed, and a test part by the content of the images."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.images import Images, OnDemand

TEST_FRACTION = 0.2


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Split `images` into (train, validation), with the same share of each class.

    Groups stay together, so with groups the shares are only approximate.

    Args:
        images: The images to split.
        fraction: The share of each class that goes to validation, in (0, 1), rounded to whole
            images.
        seed: The same seed gives the same two parts. Their order is shuffled, unless pixels are
            `OnDemand`: reading a file in another order than its own would take hours.

    Returns:
        The training and the validation images.
    """
    random = np.random.default_rng(seed)
    labels = images.labels
    if images.groups is None:
        validation = _some_of_each_class(labels, fraction, random)
    else:
        validation = _whole_groups(labels, images.groups, fraction, random)
    in_order = isinstance(images.x, OnDemand)
    order = np.arange(len(images)) if in_order else random.permutation(len(images))
    return images[order[~validation[order]]], images[order[validation[order]]]


def _some_of_each_class(
    labels: NDArray[np.int32], fraction: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        chosen[members[: round(len(members) * fraction)]] = True
    return chosen


def _whole_groups(
    labels: NDArray[np.int32],
    groups: NDArray[Any],
    fraction: float,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Go through the groups in random order and take each that brings the shares closer."""
    classes, classed = np.unique(labels, return_inverse=True)
    names, grouped = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (grouped, classed), 1)
    missing = fraction * counts.sum(axis=0)
    taken = np.zeros(len(names), dtype=bool)
    for group in random.permutation(len(names)):
        left = missing - counts[group]
        if np.abs(left).sum() < np.abs(missing).sum():
            taken[group], missing = True, left
    if not taken.any() and len(names) > 1:
        taken[counts.sum(axis=1).argmin()] = True
    return np.asarray(taken[grouped])


def content_keys(x: NDArray[Any]) -> list[str]:
    """SHA-256 of each image's pixels, in hexadecimal."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in x]


def set_aside(
    keys: Sequence[str],
    labels: NDArray[np.int32],
    groups: NDArray[Any] | None = None,
) -> NDArray[np.bool_]:
    """Choose test images by a hash of each image's content, or of its group's name.

    The choice depends on the image alone. Adding or reordering images therefore moves no image to
    the other side, and identical images are on the same side. In exchange, the share of a class is
    close to `TEST_FRACTION` but not exact.

    If the hash picks no image of a class, the closest one is picked; if it picks all of them, one
    is put back, so a class with a single image keeps it for training. Only then can another image
    change the choice. This happens in about 1 of 9 classes of ten images, and 1 of 90 classes of
    twenty.

    Args:
        keys: One key per image, equal for equal content.
        labels: int32 of shape (n,).
        groups: One value per image, of shape (n,), or None. Groups stay together.

    Returns:
        Whether each image is chosen, bool of shape (n,).
    """
    units = np.asarray(keys if groups is None else groups).astype(str)
    names, member_of = np.unique(units, return_inverse=True)
    places = np.array([_place(name) for name in names.tolist()])
    chosen = places < TEST_FRACTION
    for label in np.unique(labels):
        own = np.unique(member_of[labels == label])
        if len(own) > 1 and not chosen[own].any():
            chosen[own[places[own].argmin()]] = True
        elif chosen[own].all():
            chosen[own[places[own].argmax()]] = False
    return np.asarray(chosen[member_of])


def _place(name: str) -> float:
    """Hash a name to a number in [0, 1)."""
    # Without the zero, which was a seed, other images would be set aside than before.
    text = f"0 {name}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) / 2**64
