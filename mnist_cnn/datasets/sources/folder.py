"""A folder of pictures with one sub-folder per class."""

from pathlib import Path

from mnist_cnn.datasets.arrays.labels import in_order
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import printable, some
from mnist_cnn.datasets.parts import Shape
from mnist_cnn.datasets.paths.roles import name_of, role_in, role_of, settle
from mnist_cnn.datasets.paths.tree import (
    files_in,
    files_under,
    folders_in,
    is_picture,
    root_of,
    shown,
)
from mnist_cnn.datasets.pictures.files import Labelled, inspect, of_files
from mnist_cnn.errors import UsageError

_EXPECTED = "expected one sub-folder of pictures per class, or a table of `image,label`"


def folder(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    unreadable: list[str] | None = None,
    shape: Shape | None = None,
) -> Dataset:
    """A folder of pictures with one sub-folder per class, which gives the class its name.

    The classes may lie in `train` and `test`, or in `seg_train` and `seg_test`. Pictures in
    `validation` are used for training if there is a `test`, because a search chooses its own
    validation images, and as the test part if there is none. Without such parts, about a fifth of
    the pictures is set aside to test on.

    Reads PNG, JPEG, WebP, BMP, TIFF, GIF and PPM. Transparent parts get the colour of paper, photos
    are turned upright, and if every pixel is grey, images have one channel. The order of the images
    follows a hash of their content, so file names do not matter.

    Args:
        path: The folder.
        size: The size to fit the pictures into, as one side or (height, width). Proportions are
            kept. Default: the most frequent size, at most 256 pixels a side.
        unreadable: A list that receives one line for each picture that cannot be read. None raises
            an error for the first one instead.
        shape: The same as `size`, with the number of channels: one for grey, three for colour.

    Raises:
        UsageError: For a folder without classes, a picture that cannot be read, and a link that
            leads out of the folder or in a circle. Reading the images raises it for a picture that
            has changed since.
    """
    root = root_of(path)
    if not root.is_dir():
        raise UsageError(f"{shown(root)} is not a folder; {_EXPECTED}")
    train_folders, test_folders, notes = _parts(_without_wrapping(root, root), root)
    train = _classes(train_folders, root)
    test = _classes(test_folders, root)
    names = in_order([*train, *test])
    others: list[str] = []
    found = [_look(classes, root, unreadable, others) for classes in (train, test)]
    if not found[0].files + found[1].files:
        instead = f", but {some(others)}" if others else ""
        raise UsageError(f"{shown(root)} has no readable pictures{instead}; {_EXPECTED}")
    if others:
        notes.append(f"skipped, as these are not pictures: {some(others)}")
    return of_files(
        name_of(root),
        names,
        found[0],
        found[1] if test_folders else None,
        shape or ((size, size) if isinstance(size, int) else size),
        notes,
    )


def _without_wrapping(top: Path, root: Path) -> Path:
    """The folder itself, or the folder that it merely wraps, as unpacked archives often do."""
    while len(inner := folders_in(top, root)) == 1 and not _has_pictures(top, root):
        if _has_pictures(inner[0], root) or not folders_in(inner[0], root):
            break
        top = inner[0]
    return top


def _parts(top: Path, root: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The folders with the training classes, those with the test classes, and remarks."""
    folders = folders_in(top, root)
    notes = _left_beside(top, root)
    parts: dict[str, list[Path]] = {}
    roles = _roles(folders, root)
    for path, role in roles.items():
        if not _is_flat(path, root):
            parts.setdefault(role, []).append(path)
    if "train" not in parts:
        if "train" in roles.values() and len(roles) == len(folders):
            train = [path for path, role in roles.items() if role == "train"]
            raise _refusal(train, root)
        return [top], [], notes  # `train` is a class, like `bus`
    used = [path for paths in parts.values() for path in paths]
    if others := [shown(path, root) for path in folders if path not in used]:
        notes.append(f"skipped, as these are not parts with classes: {some(others)}")
    part, more = settle(parts, shown(parts.get("validation", [top])[0], root))
    parts[part] = parts.get(part, []) + parts.pop("validation", [])
    return parts["train"], parts.get("test", []), [*notes, *more]


def _roles(folders: list[Path], root: Path) -> dict[Path, str]:
    """The folders that are called like parts, and their roles.

    A word in a longer name counts, as in `seg_train`, if there are other parts beside it and it has
    nothing but sub-folders. Otherwise `train_station` might be a class.
    """
    roles = {path: role for path in folders if (role := role_of(path.name))}
    if roles:
        return roles
    roles = {path: role for path in folders if (role := role_in(path.name))}
    train = [path for path, role in roles.items() if role == "train"]
    if len(set(roles.values())) < 2 or not all(_has_only_folders(path, root) for path in train):
        return {}
    return roles if train else {}


def _is_flat(path: Path, root: Path) -> bool:
    """Whether a part has pictures without classes, in itself or in a folder that it wraps."""
    return bool(_unclassed(path, root))


def _unclassed(path: Path, root: Path) -> list[Path]:
    """The pictures of a part that are in no sub-folder for a class."""
    inner = [
        folder
        for folder in folders_in(path, root)
        if role_of(folder.name) or folder.name == path.name
    ]
    return [file for place in (path, *inner) for file in files_in(place, root) if is_picture(file)]


def _refusal(parts: list[Path], root: Path) -> UsageError:
    found = [shown(file, root) for part in parts for file in _unclassed(part, root)]
    return UsageError(
        f"these pictures are not in sub-folders for their classes: {some(found)}; move them there, "
        "or list them in a table of `image,label`"
    )


def _has_only_folders(path: Path, root: Path) -> bool:
    return bool(folders_in(path, root)) and not _has_pictures(path, root)


def _has_pictures(path: Path, root: Path) -> bool:
    return any(map(is_picture, files_in(path, root)))


def _left_beside(top: Path, root: Path) -> list[str]:
    beside = list(filter(is_picture, files_in(top, root)))
    if not beside:
        return []
    if not folders_in(top, root):
        raise UsageError(f"{shown(top)} has pictures but no sub-folders; {_EXPECTED}")
    return [f"skipped, as these are in no sub-folder: {some([shown(file) for file in beside])}"]


def _classes(folders: list[Path], root: Path) -> dict[str, list[Path]]:
    """The folders of each class. An accented name may be spelt in two ways."""
    classes: dict[str, list[Path]] = {}
    for top in folders:
        for path in folders_in(_without_wrapping(top, root), root):
            classes.setdefault(printable(path.name), []).append(path)
    return classes


def _look(
    classes: dict[str, list[Path]], root: Path, unreadable: list[str] | None, others: list[str]
) -> Labelled:
    """The pictures of a part, ordered by a hash of their content.

    Args:
        classes: The folders of each class.
        root: As in `inspect`.
        unreadable: As in `inspect`.
        others: Receives the names of files that are not pictures.
    """
    found = []
    for name, folders in classes.items():
        paths = (path for place in folders for path in files_under(place, root))
        files, skipped = inspect(paths, root, unreadable)
        found += [(file, name) for file in files]
        others += skipped
    found.sort(key=lambda pair: (pair[0].key, pair[0].name))
    return Labelled([file for file, _ in found], [name for _, name in found])
