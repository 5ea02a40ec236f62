"""NumPy's files: an .npz with pixels and labels, or a folder with one file per array."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.assembly import Arrays, of_arrays
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, printable, reason, some
from mnist_cnn.datasets.paths.roles import name_of, role_in, role_of
from mnist_cnn.datasets.paths.tree import files_in, root_of, shown
from mnist_cnn.errors import UsageError

_CONTENTS = {
    "x": ("x", "images", "image", "imgs", "data", "pixels"),
    "y": ("y", "labels", "label", "targets", "target", "classes"),
    "groups": ("groups", "group", "writers", "writer"),
}
_EXPECTED = "x_train, y_train, x_test and y_test, or x and y"
SINGLE = "a single array; save pixels and labels with numpy.savez(FILE, x=…, y=…)"

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
    found = _chosen(root, list(arrays))
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


def arrays_in(folder: Path) -> Path | None:
    """Where the labelled arrays in a folder are: in its files together, or in one .npz of them.

    Returns:
        The folder or the file, or None if there are no such arrays.

    Raises:
        UsageError: If several files have labelled arrays.
    """
    files = _files(folder)
    if _are_labelled(_by_role(list(files))):
        return folder
    whole = [path for path in files.values() if _has_labelled(path)]
    if len(whole) > 1:
        names = some([shown(path, folder) for path in whole], 6)
        raise UsageError(f"{shown(folder)} has several data sets: {names}; give the path of one")
    return whole[0] if whole else None


def array_files(path: Path) -> list[Path]:
    """The files at a path that arrays may be in."""
    return list(_files(path).values()) if path.is_dir() else [path]


def _has_labelled(path: Path) -> bool:
    try:
        return _are_labelled(_by_role(list(_members(path))))
    except UsageError:
        return False


def _are_labelled(found: dict[tuple[str, str], list[str]]) -> bool:
    return any({(role, "x"), (role, "y")} <= found.keys() for role in ("train", ""))


def _chosen(root: Path, names: list[str]) -> _Found:
    """Recognise arrays by their names. Those with other names are ignored.

    Arrays that have the same further words belong together, as `k49-train-imgs` and
    `k49-train-labels` do. Those without any come first, as `labels` do before `label_names`.
    """
    by_words: dict[frozenset[str], list[str]] = defaultdict(list)
    for name in names:
        by_words[_further_words(name)].append(name)
    sets = {words: _by_role(same) for words, same in by_words.items()}
    whole = {words: found for words, found in sets.items() if _are_labelled(found)}
    if len(whole) > 1 and frozenset() not in whole:
        first = [printable(same[0]) for found in whole.values() for same in found.values()]
        raise UsageError(
            f"{shown(root)} has the arrays of several data sets, such as {some(first, 6)}; keep "
            "one of them, or give each a folder of its own"
        )
    found = whole.get(frozenset()) or next(iter(whole.values()), _by_role(names))
    for same in found.values():
        if len(same) > 1:
            raise UsageError(
                f"{shown(root)} has the arrays {some([*map(printable, same)])}, which mean the "
                "same; keep one of them"
            )
    return {role: same[0] for role, same in found.items()}


def _by_role(names: list[str]) -> dict[tuple[str, str], list[str]]:
    """The names of arrays by role and content. Other names are left out."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        words = set(re.findall(r"[a-z]+", name.lower()))
        contents = [content for content, said in _CONTENTS.items() if words & set(said)]
        if len(contents) == 1:
            found[role_in(name) or "", contents[0]].append(name)
    return dict(found)


def _further_words(name: str) -> frozenset[str]:
    """The words of a name that say neither role nor content, such as `k49`."""
    said = {word for words in _CONTENTS.values() for word in words}
    words = re.findall(r"[a-z0-9]+", name.lower())
    return frozenset(word for word in words if word not in said and not role_of(word))


def _members(path: Path) -> dict[str, Path]:
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            raise UsageError(f"{shown(path)} is {SINGLE}")
        with loaded:
            return dict.fromkeys(loaded.files, path)
    except UsageError:
        raise
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
