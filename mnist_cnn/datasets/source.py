"""Finds the source for a path by looking at its files."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import some
from mnist_cnn.datasets.parts import Shape
from mnist_cnn.datasets.paths.roles import name_of
from mnist_cnn.datasets.paths.tree import (
    files_in,
    files_under,
    folders_in,
    is_picture,
    root_of,
    shown,
)
from mnist_cnn.datasets.sources.folder import folder
from mnist_cnn.datasets.sources.idx import idx, idx_files, is_idx
from mnist_cnn.datasets.sources.npz import SINGLE, array_files, arrays_in, npz
from mnist_cnn.datasets.sources.table import csv, has_tables, table_files, tables_in
from mnist_cnn.datasets.sources.table_file import open_table
from mnist_cnn.errors import UsageError

_VALID = (
    "valid: a folder with one sub-folder of pictures per class, a .csv with labels and pixels or "
    "with labels and names of pictures, an .npz, or IDX files like MNIST's"
)
_ARCHIVE = "an archive; unpack it and give the path of the folder"
_PACKED = "compressed; unpack it and give the path of its content"
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
# The first bytes of other files, and what to do with them.
_OTHERS = {
    _ZIP: _ARCHIVE,
    _GZIP: _PACKED,
    b"7z\xbc\xaf": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"\xfd7zXZ": _PACKED,
    b"BZh": _PACKED,
    b"\x28\xb5\x2f\xfd": _PACKED,
    b"\x93NUMPY": SINGLE,
    b"PAR1": "Parquet; save its pictures as files, and their names with their labels as a .csv",
    b"\x89HDF": "HDF5; save its arrays with numpy.savez(FILE, x=…, y=…)",
    b"MATLAB": "MATLAB's; save its arrays with numpy.savez(FILE, x=…, y=…)",
    b"SQLite": "a database; save its labels and pictures as files",
}


def open_dataset(
    path: str | Path, unreadable: list[str] | None = None, shape: Shape | None = None
) -> Dataset:
    """Open the data set at a path.

    Args:
        path: A folder or a file.
        unreadable: A list that receives one line for each picture that cannot be read. None raises
            an error for the first one instead.
        shape: (height, width, channels) to fit pictures into. None determines it, see `folder`.
            Arrays of pixels keep their shape.

    Returns:
        The data set. Its digest describes the images as they are now. To see whether they have
        changed since, open the path again and compare digests. Picture files are also compared
        when they are decoded later, and refused if they have changed.

    Raises:
        UsageError: If there is no known kind of data set, or it cannot be read.
    """
    root = root_of(path)
    if root.is_dir():
        return _in_folder(root, unreadable, shape)
    if not root.is_file():
        raise UsageError(f"{shown(root)} is neither a file nor a folder; {_VALID}")
    return _in_file(root, unreadable, shape)


def files_of(path: str | Path) -> Iterator[Path]:
    """List the files that the data at a path may consist of.

    For sub-folders of classes they are all files of the folder; for tables, also the pictures that
    they name. Other files do not count, as the folder may be one that people work in.

    Raises:
        UsageError: If the path does not exist, for a link that leads out of the folder or in a
            circle, and for a picture that a table names but is not there.
    """
    root = root_of(path)
    place = _place_in(root) if root.is_dir() else root
    if place is None:
        yield from files_under(root, root)
    elif files := idx_files(place):
        yield from files
    elif has_tables(place) if place.is_dir() else _names_pictures(place):
        yield from table_files(place)
    else:
        yield from array_files(place)


def _names_pictures(file: Path) -> bool:
    start = _start(file)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    try:
        return "image" in open_table(file).special
    except UsageError:  # opening the data set says what is wrong with it
        return False


def _in_folder(root: Path, unreadable: list[str] | None, shape: Shape | None) -> Dataset:
    place = _place_in(root)
    if place is None:
        return _of_classes(root, unreadable, shape)
    if idx_files(place):
        found = idx(place)
    elif has_tables(place):
        found = csv(place, unreadable, shape)
    else:
        found = npz(arrays_in(place) or place)
    return found if place == root else replace(found, name=name_of(root))


def _place_in(root: Path) -> Path | None:
    """The folder with IDX files, tables or arrays; None if there are sub-folders of classes.

    It is the root itself, or the folder that it merely wraps, as unpacked archives often do.
    """
    place = root
    while not (idx_files(place) or has_tables(place) or arrays_in(place)):
        inner = folders_in(place, root)
        if len(inner) != 1:
            return None
        place = inner[0]
    return place


def _of_classes(root: Path, unreadable: list[str] | None, shape: Shape | None) -> Dataset:
    if folders_in(root, root):
        return folder(root, unreadable=unreadable, shape=shape)
    # These are without labels, and say what they lack.
    if tables_in(root):
        return csv(root, unreadable, shape)
    if arrays := array_files(root):
        return npz(arrays[0] if len(arrays) == 1 else root)
    files = files_in(root, root)
    if not any(map(is_picture, files)):
        found = some([shown(path, root) for path in files]) or "nothing"
        raise UsageError(f"{shown(root)} has {found}; {_VALID}")
    return folder(root, unreadable=unreadable, shape=shape)


def _in_file(root: Path, unreadable: list[str] | None, shape: Shape | None) -> Dataset:
    start = _start(root)
    if start.startswith(_ZIP) and (root.suffix.lower() == ".npz" or _has_arrays(root)):
        return npz(root)
    if start.startswith(_GZIP) and is_idx(_start(root, packed=True)):
        return idx(root)
    if is_idx(start):
        return idx(root)
    if is_picture(root):
        raise UsageError(f"{shown(root)} is one picture; {_VALID}")
    for beginning, kind in _OTHERS.items():
        if start.startswith(beginning):
            raise UsageError(f"{shown(root)} is {kind}")
    if start[257:262] == b"ustar":
        raise UsageError(f"{shown(root)} is {_ARCHIVE}")
    if not start.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" in start:
        raise UsageError(f"{shown(root)} is not a known kind of file; {_VALID}")
    return csv(root, unreadable, shape)


def _start(path: Path, packed: bool = False) -> bytes:
    """The first bytes of a file, unpacked if asked; none if it cannot be unpacked."""
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return file.read(512)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {error.strerror}") from None


def _has_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
