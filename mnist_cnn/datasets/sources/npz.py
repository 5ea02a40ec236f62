"""NumPy's files: an .npz with pixels and labels, or a folder with one file per array."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.assembly import Arrays, of_arrays
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, printable, reason
from mnist_cnn.datasets.paths.roles import name_of, role_in
from mnist_cnn.datasets.paths.tree import files_in, root_of, shown
from mnist_cnn.errors import UsageError

_CONTENTS = {
    "x": ("x", "images", "image", "imgs", "data", "pixels"),
    "y": ("y", "labels", "label", "targets", "target", "classes"),
    "groups": ("groups", "group", "writers", "writer"),
}
_EXPECTED = "x_train, y_train, x_test and y_test, or x and y"

# The names of arrays by role and content, such as ("train", "x").
_Found = dict[tuple[str, str], str]


def npz(path: str | Path) -> Dataset:
    """Arrays of pixels and labels in an .npz, or in one .npy or .npz file each.

    They are called `x_train`, `y_train`, `x_test` and `y_test`, or `x` and `y`, of which about a
    fifth is set aside to test on. Words such as `images` and `labels` mean the same, as in
    `train_images`. Arrays called `val` are used for training if there is a test part, and as the
    test part if there is none. An array such as `groups_train` gives each image its group.

    Pickled objects are never loaded.

    Args:
        path: The file, or the folder with the files.

    Raises:
        UsageError: If such arrays are missing or invalid.
    """
    root = root_of(path)
    arrays, source = (_files(root) if root.is_dir() else _members(root)), printable(root.name)
    found = roles_of(list(arrays))
    if ("", "x") in found and ("train", "x") not in found:
        found = {(role or "train", content): name for (role, content), name in found.items()}
    if not {("train", "x"), ("train", "y")} <= found.keys():
        raise UsageError(
            f"{shown(root)} has the arrays {', '.join(map(printable, arrays)) or 'none'}; expected "
            f"{_EXPECTED}"
        )
    if ("", "groups") in found:
        name = printable(found["", "groups"])
        raise UsageError(f"{source}: {name} is of no part; call it groups_train, or remove it")
    roles = {role for role, content in found if role and content != "groups"}
    parts = {role: _part(source, found, role, arrays) for role in sorted(roles)}
    return of_arrays(name_of(root), parts)


def roles_of(names: list[str]) -> _Found:
    """Recognise arrays by their names. Those with other names are ignored."""
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
    except Exception as error:  # NumPy, zipfile and zlib raise all kinds of errors
        raise UsageError(f"cannot read {shown(path)}: {reason(error)}") from None


def _files(folder: Path) -> dict[str, Path]:
    paths = files_in(folder, folder)
    return {path.stem: path for path in paths if path.suffix.lower() in (".npz", ".npy")}


def _part(source: str, found: _Found, role: str, arrays: dict[str, Path]) -> Arrays:
    for content in ("x", "y"):
        if (role, content) not in found:
            missing = f"{content}_{role}"
            raise UsageError(f"{source} lacks the array {missing}; expected {_EXPECTED}")
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
        # A single array may be larger than memory.
        mapped: Literal["r"] | None = "r" if path.suffix.lower() == ".npy" else None
        loaded = np.load(path, allow_pickle=False, mmap_mode=mapped)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if name not in loaded.files and len(loaded.files) != 1:
                raise UsageError(f"{shown(path)} has several arrays; expected one per file")
            return np.asarray(loaded[name if name in loaded.files else loaded.files[0]])
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"cannot read {printable(name)} in {shown(path)}: {reason(error)}"
        ) from None
