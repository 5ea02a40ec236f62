"""Turns labels as people write them, numbers or text, into class indices and names."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.naming import Where, printable
from mnist_cnn.errors import UsageError


def in_order(names: Iterable[str]) -> list[str]:
    """The distinct names: first numbers by value, then the rest alphabetically."""
    return sorted(set(names), key=_rank)


def _rank(name: str) -> tuple[bool, int, str]:
    digits = name.removeprefix("-")
    number = digits.isascii() and digits.isdigit()
    return not number, int(name) if number else 0, name


def numbered(
    where: Iterable[Where], parts: Iterable[NDArray[Any]]
) -> tuple[list[str], list[NDArray[np.int32]]]:
    """Number the classes of all parts.

    Labels may be whole numbers in any range, stored as integers or floats, or text. Numbers are
    ordered by value, text alphabetically. Trailing axes of length one are dropped, and one-hot rows
    become their index.

    Args:
        where: How messages refer to each part's labels.
        parts: The labels of each part.

    Returns:
        The class names, and for each part its class indices, int32 of shape (n,).

    Raises:
        UsageError: For any other labels. It names the first wrong one.
    """
    texts = [_texts(name, part) for name, part in zip(where, parts, strict=True)]
    names = in_order(name for part in texts for name in np.unique(part).tolist())
    index = {name: number for number, name in enumerate(names)}
    found = []
    for part in texts:
        distinct, inverse = np.unique(part, return_inverse=True)
        numbers = np.array([index[name] for name in distinct.tolist()], dtype=np.int32)
        found.append(numbers[inverse])
    return names, found


def without_columns(array: NDArray[Any]) -> NDArray[Any]:
    """Drop trailing axes of length one."""
    while array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _texts(where: Where, labels: NDArray[Any]) -> NDArray[np.str_]:
    """Each label as text, of shape (n,); 3, 3.0 and "3.0" are the same label."""
    labels = without_columns(labels)
    if labels.ndim == 2:
        labels = _from_one_hot(where, labels)
    if labels.ndim != 1:
        raise UsageError(f"{where.text} has the shape {labels.shape}; expected one label per image")
    if labels.dtype.kind == "f":
        return _from_floats(where, labels)
    if labels.dtype.kind in "biu":
        return labels.astype(np.int64).astype(str)
    if labels.dtype.kind in "SU":
        return _from_texts(where, labels)
    raise UsageError(f"{where.text} is {labels.dtype}; expected whole numbers or text")


def _from_one_hot(where: Where, labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind not in "biuf" or not (
        np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    ):
        raise UsageError(
            f"{where.text} has the shape {labels.shape} and is not one-hot; expected one label "
            "per image"
        )
    return np.asarray(labels.argmax(axis=1))


def _from_floats(where: Where, labels: NDArray[Any]) -> NDArray[np.str_]:
    wrong = np.flatnonzero(~np.isfinite(labels) | (labels != np.round(labels)))
    if len(wrong):
        raise UsageError(
            f"{where.at(int(wrong[0]))} has the label {labels[wrong[0]]}; expected a whole number "
            "or text"
        )
    return labels.astype(np.int64).astype(str)


def _from_texts(where: Where, labels: NDArray[Any]) -> NDArray[np.str_]:
    try:
        texts = np.strings.strip(labels.astype(str))
    except UnicodeDecodeError:
        texts = np.strings.strip(np.strings.decode(labels, "utf-8", "replace"))
    distinct, inverse = np.unique(texts, return_inverse=True)
    names = [printable(text) for text in distinct.tolist()]
    missing = [place for place, name in enumerate(names) if name.lower() in ("", "nan")]
    if missing:
        image = int(np.flatnonzero(inverse == missing[0])[0])
        raise UsageError(f"{where.at(image)} has no label")
    try:
        numbers = np.array(names).astype(float)
    except ValueError:
        return np.array(names)[inverse]
    if any("." in name for name in names):  # pandas writes whole numbers as 3.0 if one is missing
        return _from_floats(where, numbers[inverse])
    return np.array(names)[inverse]
