"""Files that are replaced whole: a reader or a kill finds the old or the new one, never half."""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` with what `write` writes, on the disk when this returns.

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


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries: after a power cut a new or renamed file is still found there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
