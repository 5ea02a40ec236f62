"""Atomic replacement of files: a kill leaves the old file or the new one, never a part.

When these functions return, the files are flushed to the disk and survive a power cut.
"""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` with what `write` writes.

    Args:
        path: The file. Its folder must exist.
        write: Called with the path of a file beside it, which has the same suffix.

    Raises:
        OSError: The file cannot be written; the old one is still there.
    """
    partly = path.with_suffix(f".part{path.suffix}")
    try:
        write(partly)
        with partly.open("rb+") as file:
            os.fsync(file.fileno())
        partly.replace(path)
    except BaseException:
        partly.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_tree(path: Path) -> None:
    """Flush a folder that another library wrote: its files, its sub-folders, and its own entry."""
    for each in (path.parent, path, *path.rglob("*")):
        _flush(each)


def sync_folder(path: Path) -> None:
    """Flush the entries of a folder."""
    _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
