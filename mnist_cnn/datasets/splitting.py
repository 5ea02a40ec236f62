"""How images are divided: training from validation by a seed, and a test part by content."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.images import Images

TEST_FRACTION = 0.2


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Divide `images` into (train, validation), each class in the same proportion.

    A group is not divided, so with groups the proportions are kept only as well as their sizes let.

    Args:
        images: to be divided.
        fraction: share of each class that goes to validation, in (0, 1), rounded to whole images.
        seed: the same seed gives the same two parts; their order is shuffled.
    """
    random = np.random.default_rng(seed)
    labels = images.labels
    if images.groups is None:
        validation = _some_of_each_class(labels, fraction, random)
    else:
        validation = _whole_groups(labels, images.groups, fraction, random)
    order = random.permutation(len(images))
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
    """In random order, each group is taken that brings the classes nearer to their proportion."""
    classes, classed = np.unique(labels, return_inverse=True)
    names, grouped = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (grouped, classed), 1)
    wanted = fraction * counts.sum(axis=0)
    taken = np.zeros(len(names), dtype=bool)
    for group in random.permutation(len(names)):
        with_it = wanted - counts[group]
        if np.abs(with_it).sum() < np.abs(wanted).sum():
            taken[group], wanted = True, with_it
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
    *,
    fraction: float = TEST_FRACTION,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Choose images to test on, by a hash of each one's content, or of its group's name.

    What is chosen depends on the image alone, so images that are added or put in another order
    move none across, and equal images are on one side. So a class has about `fraction` of its
    images in the test part, not exactly that.

    A class of which the hash picks nothing, or all, gets one image across, and a single image is to
    train on; only there can another image change the choice. Of classes of ten that is 1 in 9, of
    twenty 1 in 90.

    Args:
        keys: of each image, equal for equal content.
        labels: int32 of shape (n,).
        groups: of shape (n,); a group is not divided.
        fraction: share that is chosen, in (0, 1).
        seed: another one chooses others.

    Returns:
        Whether each image is chosen, of shape (n,).
    """
    units = np.asarray(keys if groups is None else groups).astype(str)
    names, member_of = np.unique(units, return_inverse=True)
    places = np.array([_place(name, seed) for name in names.tolist()])
    chosen = places < fraction
    for label in np.unique(labels):
        own = np.unique(member_of[labels == label])
        if len(own) > 1 and not chosen[own].any():
            chosen[own[places[own].argmin()]] = True
        elif chosen[own].all():
            chosen[own[places[own].argmax()]] = False
    return np.asarray(chosen[member_of])


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that a name and a seed come to."""
    text = f"{seed} {name}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) / 2**64
