"""Turns arrays of pixels and labels, as a file stores them, into a `Dataset`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.labels import numbered, without_columns
from mnist_cnn.datasets.arrays.pixels import as_bytes, as_images, in_planes
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where
from mnist_cnn.datasets.parts import assemble, in_memory
from mnist_cnn.datasets.paths.roles import settle
from mnist_cnn.errors import UsageError

_ROLES = ("train", "validation", "test")  # in the order in which messages name them


@dataclass(frozen=True, eq=False, repr=False)
class Arrays:
    """A part as it is stored.

    Attributes:
        x: Pixels in a form that `as_images` and `as_bytes` accept.
        y: Labels in a form that `numbered` accepts.
        x_where: How messages refer to the pixels.
        y_where: How messages refer to the labels.
        groups: As in `Images`.
        names: As in `Images`.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    x_where: Where
    y_where: Where
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None


def of_arrays(
    name: str,
    parts: Mapping[str, Arrays],
    class_names: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Make a data set from arrays.

    Args:
        name: The name of the data set.
        parts: The images by role: `train` and, if there are any, `validation` and `test`. `settle`
            says what `validation` is used for. Without test images about a fifth is set aside.
        class_names: The names of labels that are not called by their own text.
        remarks: The source's decisions, one line each.

    Raises:
        UsageError: For pixels, labels, groups or lengths that are invalid, or differ between the
            parts. It names the array and, where it can, the image.
    """
    parts = {role: _with_flat_groups(parts[role]) for role in _ROLES if role in parts}
    given = list(parts.values())
    where = [part.x_where for part in given]
    planes = in_planes(given[0].x)
    images = [as_images(part.x_where, part.x, planes is True) for part in given]
    for part in given:
        _check_lengths(part)
    _check_shapes(where, images)
    # Before parts are joined: afterwards it could not be seen that one of them has another range.
    pixels = as_bytes(where, images)
    texts, labels = numbered([part.y_where for part in given], [part.y for part in given])
    ready = {
        role: replace(part, x=x, y=y)
        for (role, part), x, y in zip(parts.items(), pixels, labels, strict=True)
    }
    notes = [*_order(where[0], planes), *_settled(ready)]
    made = {
        role: in_memory(part.x, part.y, part.groups, part.names) for role, part in ready.items()
    }
    height, width, channels = images[0].shape[1:]
    known = class_names or {}
    return assemble(
        name,
        (height, width, channels),
        [known.get(text, text) for text in texts],
        made["train"],
        made.get("test"),
        [*remarks, *notes],
    )


def _order(where: Where, planes: bool | None) -> list[str]:
    """A remark about the order of RGB pixels in rows."""
    if planes is None:
        return []
    order = "all red, then all green, then all blue" if planes else "red, green and blue in turn"
    return [f"{where.text} is read as {order}, judging by how alike neighbouring pixels are"]


def _settled(parts: dict[str, Arrays]) -> list[str]:
    """Move the validation images to the part that they are used for, and return remarks."""
    validation = parts.pop("validation", None)
    if validation is None:
        return []
    role, notes = settle([*parts, "validation"], validation.x_where.text)
    parts[role] = _joined(parts[role], validation) if role in parts else validation
    return notes


def _joined(part: Arrays, other: Arrays) -> Arrays:
    groups, names = None, None
    if part.groups is not None and other.groups is not None:
        groups = np.concatenate([part.groups, other.groups])
    elif part.groups is not None or other.groups is not None:
        lacks, has = (part, other) if part.groups is None else (other, part)
        raise UsageError(
            f"{lacks.x_where.text} has no groups, {has.x_where.text} has; both are used for "
            "training, so give groups for both or for none"
        )
    if part.names is not None and other.names is not None:
        names = np.concatenate([part.names, other.names])
    x, y = np.concatenate([part.x, other.x]), np.concatenate([part.y, other.y])
    return replace(part, x=x, y=y, groups=groups, names=names)


def _check_shapes(where: Sequence[Where], images: Sequence[NDArray[Any]]) -> None:
    for name, x in zip(where, images, strict=True):
        if x.shape[1:] != images[0].shape[1:]:
            raise UsageError(
                f"{where[0].text} has images of {images[0].shape[1:]}, {name.text} of "
                f"{x.shape[1:]}; expected one shape"
            )


def _with_flat_groups(part: Arrays) -> Arrays:
    return part if part.groups is None else replace(part, groups=without_columns(part.groups))


def _check_lengths(part: Arrays) -> None:
    images = len(part.x)
    for found, where in ((part.y, part.y_where.text), (part.groups, "its groups")):
        if found is not None and (found.ndim == 0 or len(found) != images):
            count = "one value" if found.ndim == 0 else f"{len(found):,} entries"
            raise UsageError(f"{part.x_where.text} has {images:,} images, {where} {count}")
    if part.groups is not None and part.groups.ndim > 1:
        raise UsageError(
            f"{part.x_where.text}: its groups have the shape {part.groups.shape}; expected one "
            "value per image"
        )
