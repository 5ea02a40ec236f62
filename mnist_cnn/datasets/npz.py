"""NumPy's files: an .npz with pixels and labels, or a folder with a file for each array."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays import Arrays, of_arrays
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, printable, reason
from mnist_cnn.datasets.roles import name_of, role_in, settle
from mnist_cnn.datasets.tree import files_in, root_of, shown
from mnist_cnn.errors import UsageError

_CONTENTS = {
    "x": ("x", "images", "image", "imgs", "data", "pixels"),
    "y": ("y", "labels", "label", "targets", "target", "classes"),
    "groups": ("groups", "group", "writers", "writer"),
}
_WANTED = "x_train, y_train, x_test and y_test, or x and y"

# An array's name by its role and content, as ("train", "x").
_Found = dict[tuple[str, str], str]


def npz(path: str | Path) -> Dataset:
    """Arrays of pixels and labels in an .npz, or each in its file, .npy or .npz, of one folder.

    They are called `x_train`, `y_train`, `x_test` and `y_test`, or `x` and `y`, of which about a
    fifth is set aside to test on; `images` and `labels` mean the same, as in `train_images`. What
    is called `val` is for training too, where there is `test`, and to test on where there is none.
    `groups`, as in `groups_train`, are of the images that stay together, as a writer's.

    Args:
        path: the file, or the folder.

    Raises:
        UsageError: if such arrays are not there or make no sense. No pickled object is ever loaded.
    """
    root = root_of(path)
    arrays, source = (_files(root) if root.is_dir() else _members(root)), printable(root.name)
    found = roles_of(list(arrays))
    if ("", "x") in found and ("train", "x") not in found:
        found = {(role or "train", content): name for (role, content), name in found.items()}
    if not {("train", "x"), ("train", "y")} <= found.keys():
        raise UsageError(
            f"{shown(root)} has the arrays {', '.join(map(printable, arrays)) or 'none'}; wanted "
            f"are {_WANTED}"
        )
    roles = {role for role, content in found if role and content != "groups"}
    parts = {role: _part(source, found, role, arrays) for role in sorted(roles)}
    where = parts["validation"].x_where.text if "validation" in parts else ""
    part, notes = settle(roles, where)
    if validation := parts.pop("validation", None):
        parts[part] = _joined(parts[part], validation) if part in parts else validation
    return of_arrays(name_of(root), parts["train"], parts.get("test"), remarks=notes)


def roles_of(names: list[str]) -> _Found:
    """Which array is what, by their names; those that say nothing are left out."""
    found: _Found = {}
    for name in names:
        words = set(re.findall(r"[a-z]+", name.lower()))
        contents = [content for content, said in _CONTENTS.items() if words & set(said)]
        if len(contents) == 1:
            found.setdefault((role_in(name) or "", contents[0]), name)
    return found


def _members(path: Path) -> dict[str, Path]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict.fromkeys(file.files, path)
    except Exception as error:  # NumPy, zipfile and zlib each raise their own
        raise UsageError(f"cannot read {shown(path)}: {reason(error)}") from None


def _files(folder: Path) -> dict[str, Path]:
    paths = files_in(folder, folder)
    return {path.stem: path for path in paths if path.suffix.lower() in (".npz", ".npy")}


def _part(source: str, found: _Found, role: str, arrays: dict[str, Path]) -> Arrays:
    for content in ("x", "y"):
        if (role, content) not in found:
            wanted = f"{content}_{role}"
            raise UsageError(f"{source} lacks the array {wanted}; wanted are {_WANTED}")
    x, y, groups = (found.get((role, content), "") for content in _CONTENTS)
    return Arrays(
        _read(arrays[x], x),
        _read(arrays[y], y),
        Where(f"{source}: {printable(x)}"),
        Where(f"{source}: {printable(y)}"),
        _read(arrays[groups], groups) if groups else None,
    )


def _read(path: Path, name: str) -> NDArray[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if name not in loaded.files and len(loaded.files) != 1:
                raise UsageError(f"{shown(path)} has several arrays; wanted is one a file")
            return np.asarray(loaded[name if name in loaded.files else loaded.files[0]])
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"cannot read {printable(name)} in {shown(path)}: {reason(error)}"
        ) from None


def _joined(part: Arrays, other: Arrays) -> Arrays:
    if part.x.shape[1:] != other.x.shape[1:] or part.y.shape[1:] != other.y.shape[1:]:
        raise UsageError(f"{part.x_where.text} and {other.x_where.text} differ in shape")
    groups = None
    if part.groups is not None and other.groups is not None:
        groups = np.concatenate([part.groups, other.groups])
    return Arrays(
        np.concatenate([part.x, other.x]),
        np.concatenate([part.y, other.y]),
        part.x_where,
        part.y_where,
        groups,
    )
