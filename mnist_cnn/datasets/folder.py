"""A folder of pictures, a sub-folder for each class."""

from pathlib import Path

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.labels import in_order
from mnist_cnn.datasets.naming import printable, some
from mnist_cnn.datasets.picture_files import Labelled, look_at, of_files
from mnist_cnn.datasets.roles import name_of, role_of, settle
from mnist_cnn.datasets.tree import files_in, files_under, folders_in, is_picture, root_of, shown
from mnist_cnn.errors import UsageError

_WANTED = "wanted is a sub-folder of pictures for each class, or a table of `image,label`"


def folder(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    unreadable: list[str] | None = None,
) -> Dataset:
    """Pictures in a sub-folder for each class, which names it.

    `train` and `test` may stand above the classes. What is in `validation` is for training too,
    where there is `test`, as a search validates on some of it, and to test on where there is none.
    Without any of them about a fifth of the pictures is set aside to test on.

    Read are PNG, JPEG, WebP, BMP, TIFF, GIF, PPM; what is transparent becomes paper, photos are
    turned upright, and if no picture has a colour, all are grey. Pictures are in the order of their
    contents' hashes, so their files' names count for nothing.

    Args:
        path: the folder.
        size: what the pictures are fitted into, as a side or (height, width), proportions kept;
            by default their most frequent size, or 256 pixels a side if that is larger.
        unreadable: gets a line on each picture that cannot be read, which is left out; with None
            such a picture is refused.

    Raises:
        UsageError: for a folder without classes, a picture that cannot be read or has changed since
            it was first looked at, and a link out of the folder or in a circle.
    """
    root = root_of(path)
    if not root.is_dir():
        raise UsageError(f"{shown(root)} is no folder; {_WANTED}")
    train_folders, test_folders, notes = _parts(_without_wrapping(root, root), root)
    train = _classes(train_folders, root)
    test = _classes(test_folders, root)
    names = in_order([*train, *test])
    strangers: list[str] = []
    found = [_look(classes, root, unreadable, strangers) for classes in (train, test)]
    if not found[0].files + found[1].files:
        others = f", but {some(strangers)}" if strangers else ""
        raise UsageError(f"{shown(root)} has no pictures that can be read{others}; {_WANTED}")
    if strangers:
        notes.append(f"left out, as they are no pictures: {some(strangers)}")
    return of_files(
        name_of(root),
        names,
        found[0],
        found[1] if test_folders else None,
        (size, size) if isinstance(size, int) else size,
        notes,
    )


def _without_wrapping(top: Path, root: Path) -> Path:
    """The folder itself, or the one that it only wraps, as archives do when they are unpacked."""
    while len(inner := folders_in(top, root)) == 1 and not _has_pictures(top, root):
        if _has_pictures(inner[0], root) or not folders_in(inner[0], root):
            break
        top = inner[0]
    return top


def _parts(top: Path, root: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The folders that hold the classes to train on, those to test on, and remarks."""
    folders = folders_in(top, root)
    notes = _left_beside(top, root)
    parts: dict[str, list[Path]] = {}
    for path in folders:
        if (role := role_of(path.name)) and not _is_flat(path, root):
            parts.setdefault(role, []).append(path)
    if "train" not in parts:
        roles = [role_of(path.name) for path in folders]
        if "train" in roles and all(roles):  # else `train` is a class, as `bus` is
            raise UsageError(
                f"{shown(folders[-1], root)} has pictures that are in no sub-folder for their "
                "class; put them there, or name them in a table of `image,label`"
            )
        return [top], [], notes
    used = [path for paths in parts.values() for path in paths]
    if others := [shown(path, root) for path in folders if path not in used]:
        notes.append(f"left out, as it has no sub-folders of classes for a part: {some(others)}")
    part, more = settle(parts, shown(parts.get("validation", [top])[0], root))
    parts[part] = parts.get(part, []) + parts.pop("validation", [])
    return parts["train"], parts.get("test", []), [*notes, *more]


def _is_flat(path: Path, root: Path) -> bool:
    """Whether a part has pictures without classes, itself or in a folder that repeats its name."""
    inner = [folder for folder in folders_in(path, root) if role_of(folder.name)]
    return any(_has_pictures(place, root) for place in (path, *inner))


def _has_pictures(path: Path, root: Path) -> bool:
    return any(map(is_picture, files_in(path, root)))


def _left_beside(top: Path, root: Path) -> list[str]:
    beside = list(filter(is_picture, files_in(top, root)))
    if not beside:
        return []
    if not folders_in(top, root):
        raise UsageError(f"{shown(top)} has pictures but no sub-folders; {_WANTED}")
    return [f"left out, as they are in no sub-folder: {some([shown(file) for file in beside])}"]


def _classes(folders: list[Path], root: Path) -> dict[str, list[Path]]:
    """The sub-folders of each class; the name of one may be written in two ways."""
    classes: dict[str, list[Path]] = {}
    for top in folders:
        for path in folders_in(_without_wrapping(top, root), root):
            classes.setdefault(printable(path.name), []).append(path)
    return classes


def _look(
    classes: dict[str, list[Path]], root: Path, unreadable: list[str] | None, strangers: list[str]
) -> Labelled:
    """The pictures of a part, in the order of their contents' hashes.

    strangers: gets the names of the files that are no pictures.
    """
    found = []
    for name, folders in classes.items():
        paths = (path for place in folders for path in files_under(place, root))
        files, left_out = look_at(paths, root, unreadable)
        found += [(file, name) for file in files]
        strangers += left_out
    found.sort(key=lambda pair: (pair[0].key, pair[0].name))
    return Labelled([file for file, _ in found], [name for _, name in found])
