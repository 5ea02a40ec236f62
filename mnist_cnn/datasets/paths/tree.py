"""Lists folders: skips what is no data, refuses links that lead out of the folder or in a circle.

Hidden files, a search's own folder and virtual environments are no data.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from mnist_cnn.datasets.naming import printable
from mnist_cnn.errors import UsageError
from mnist_cnn.mlruns import MLRUNS

# Files of operating systems and file managers, besides names that begin with a dot.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
_VENV_FILE = "pyvenv.cfg"  # in the folder of a virtual environment

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"}
# These are pictures too, but cannot be read. Skipping them would lose them silently.
_PICTURES |= {".heic", ".heif", ".avif", ".svg", ".jp2", ".jxl", ".psd", ".dng", ".cr2"}


def is_picture(path: Path) -> bool:
    """Whether the suffix of a file is that of a picture."""
    return path.suffix.lower() in _PICTURES


def root_of(path: str | Path) -> Path:
    """Resolve a path that a user gave.

    Returns:
        The absolute path, with links followed.

    Raises:
        UsageError: If it does not exist.
    """
    given = Path(path).expanduser()
    try:
        return given.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: circular links, before Python 3.13
        raise UsageError(f"there is no file or folder {printable(str(given))!r}") from None


def folders_in(folder: Path, root: Path) -> list[Path]:
    """The sub-folders of a folder, sorted by name."""
    return [path for path in _visible(folder, root) if path.is_dir()]


def files_in(folder: Path, root: Path) -> list[Path]:
    """The files in a folder, sorted by name, without devices and pipes."""
    return [path for path in _visible(folder, root) if path.is_file()]


def files_under(folder: Path, root: Path) -> Iterator[Path]:
    """All files in a folder and its sub-folders, sorted by name; see `entries_under`."""
    for path, is_folder in entries_under(folder, root):
        if not is_folder:
            yield path


def entries_under(folder: Path, root: Path) -> Iterator[tuple[Path, bool]]:
    """All files and folders in a folder and its sub-folders, sorted by name.

    Args:
        folder: The folder to search.
        root: The resolved folder that links must not lead out of.

    Yields:
        Each path, and whether it is a folder.

    Raises:
        UsageError: For a link that leads out of the root or in a circle, and for a folder that
            cannot be read.
    """
    yield from _under(folder, root, ())


def inside(path: Path, root: Path) -> Path:
    """Check that a path, with links followed, exists and lies in the root.

    Returns:
        The path itself.

    Raises:
        UsageError: If it does not.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        missing = "is a broken or circular link" if path.is_symlink() else "is missing"
        raise UsageError(f"{shown(path, root)} {missing}") from None
    if not target.is_relative_to(root):
        raise UsageError(
            f"{shown(path, root)} leads out of the folder {shown(root)}; copy its target there"
        )
    return path


def shown(path: Path, root: Path | None = None) -> str:
    """How messages refer to a path: relative to the root if it lies there."""
    if root is not None and path != root and path.is_relative_to(root):
        path = path.relative_to(root)
    return printable(str(path))


def _under(folder: Path, root: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    here = folder.resolve()
    if here in above:
        raise UsageError(f"{shown(folder, root)} is a circular link")
    for path in _visible(folder, root):
        if path.is_dir():
            yield path, True
            yield from _under(path, root, (*above, here))
        elif path.is_file():
            yield path, False


def _visible(folder: Path, root: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208, sorting names is faster
    except OSError as error:
        raise UsageError(f"cannot read {shown(folder, root)}: {error.strerror}") from None
    if _VENV_FILE in names:
        return []
    skipped = {*_LITTER, MLRUNS.name}
    paths = [folder / name for name in names if name[0] != "." and name.lower() not in skipped]
    for path in paths:
        if path.is_symlink():
            inside(path, root)
    return paths
