"""What lies in a folder: no hidden files, no links out of it or in a circle."""

import os
from collections.abc import Iterator
from pathlib import Path

from mnist_cnn.datasets.naming import printable
from mnist_cnn.errors import UsageError

# What systems and file managers leave behind, besides what begins with a dot.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"}


_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"}
# Pictures too, but of kinds that are not read; to pass them over would lose them silently.
_PICTURES |= {".heic", ".heif", ".avif", ".svg", ".jp2", ".jxl", ".psd", ".dng", ".cr2"}


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture."""
    return path.suffix.lower() in _PICTURES


def root_of(path: str | Path) -> Path:
    """The absolute path, links followed, that a user's text stands for.

    Raises:
        UsageError: if there is nothing.
    """
    given = Path(path).expanduser()
    try:
        return given.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a circle of links, before 3.13
        raise UsageError(f"there is no file or folder {printable(str(given))!r}") from None


def folders_in(folder: Path, root: Path) -> list[Path]:
    """The folders in a folder, by name."""
    return [path for path in _visible(folder, root) if path.is_dir()]


def files_in(folder: Path, root: Path) -> list[Path]:
    """The files in a folder, by name; without devices and pipes."""
    return [path for path in _visible(folder, root) if path.is_file()]


def files_under(folder: Path, root: Path) -> Iterator[Path]:
    """The files in a folder and its sub-folders, by name.

    Args:
        folder: to look into.
        root: the resolved folder that no link may lead out of.

    Raises:
        UsageError: for a link out of the root or in a circle, and a folder that cannot be read.
    """
    yield from _files_under(folder, root, ())


def inside(path: Path, root: Path) -> Path:
    """The path; links are followed to see that what it stands for lies in the root.

    Raises:
        UsageError: if it does not, or if it stands for nothing.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        missing = "a link that leads nowhere, or in a circle" if path.is_symlink() else "missing"
        raise UsageError(f"{shown(path, root)} is {missing}") from None
    if not target.is_relative_to(root):
        raise UsageError(
            f"{shown(path, root)} leads out of the folder {shown(root)}; copy there what it is for"
        )
    return path


def shown(path: Path, root: Path | None = None) -> str:
    """A path in a message, relative to the root if it lies there."""
    if root is not None and path != root and path.is_relative_to(root):
        path = path.relative_to(root)
    return printable(str(path))


def _files_under(folder: Path, root: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        raise UsageError(f"{shown(folder, root)} is a link in a circle")
    for path in _visible(folder, root):
        if path.is_dir():
            yield from _files_under(path, root, (*above, here))
        elif path.is_file():
            yield path


def _visible(folder: Path, root: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208, names alone are sorted faster
    except OSError as error:
        raise UsageError(f"cannot read {shown(folder, root)}: {error.strerror}") from None
    paths = [folder / name for name in names if name[0] != "." and name.lower() not in _LITTER]
    for path in paths:
        if path.is_symlink():
            inside(path, root)
    return paths
