"""The files of a project that are sent to the nodes of a Ray cluster.

Ray packs a folder. It would wait at a pipe for ever, and pack a folder again and again that has a
link to itself. So it gets a folder of links to the files that are sent, and to nothing else.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mnist_cnn.errors import UserError

# What no node needs: at the top of the project, and anywhere.
NOT_SENT = ("mlruns", ".git")
NOT_SENT_ANYWHERE = ("__pycache__", ".egg-info")
IGNORED = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]


def stage(root: Path, target: Path) -> list[Path]:
    """Fill a folder with links to the files that are sent.

    Args:
        root: The project.
        target: An empty folder.

    Returns:
        The files, relative to the project.

    Raises:
        UserError: A file cannot be sent.
    """
    files = sent_files(root)
    for file in files:
        if not _is_utf8(str(file)):
            raise UserError(
                f"the name of {str(file)!a} is not UTF-8, so Ray cannot send it; rename it, "
                "or let git ignore it"
            )
        if not os.access(root / file, os.R_OK):
            raise UserError(
                f"{file} cannot be read, so it cannot be sent to the nodes; make it readable, or "
                "let git ignore it"
            )
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).symlink_to(root / file)
    return files


def sent_files(root: Path) -> list[Path]:
    """Return the files of a project that are sent, relative to it.

    Links are followed, but no folder is taken twice. Not sent are virtual environments, what git
    ignores, and what is no regular file.
    """
    return sorted(_regular_files(root, root, _ignored(root), set()))


def _regular_files(
    folder: Path, root: Path, ignored: set[str], seen: set[tuple[int, int]]
) -> Iterator[Path]:
    found = folder.stat()
    if (found.st_dev, found.st_ino) in seen:
        return
    seen.add((found.st_dev, found.st_ino))
    for path in sorted(folder.iterdir()):
        inner = path.relative_to(root)
        if str(inner) in ignored or str(inner) in NOT_SENT or _is_left_out(path):
            continue
        if path.is_dir():
            yield from _regular_files(path, root, ignored, seen)
        elif path.is_file():
            yield inner


def _is_left_out(path: Path) -> bool:
    return path.name.endswith(NOT_SENT_ANYWHERE) or (path / "pyvenv.cfg").is_file()


def _ignored(root: Path) -> set[str]:
    """Return the files and folders that git ignores, relative to `root`; none without git.

    Outside of a repository, and in one that git does not trust, the project's own `.gitignore`
    counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        init = ["git", "init", "--quiet", folder]
        other = ["git", f"--git-dir={folder}/.git", "--work-tree=."]
        for command in (["git", *IGNORED], init, [*other, *IGNORED]):
            try:
                ran = subprocess.run(command, cwd=root, capture_output=True, check=False)
            except FileNotFoundError:
                return set()
            if command is not init and not ran.returncode:
                return {os.fsdecode(name).rstrip("/") for name in ran.stdout.split(b"\0") if name}
    return set()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def largest(root: Path, files: list[Path]) -> str:
    """Return the size of some files, and which is the largest, in words."""
    sizes = {file: (root / file).stat().st_size for file in files}
    name = max(sizes, key=lambda file: sizes[file])
    return f"{_megabytes(sum(sizes.values()))}, of which {name} has {_megabytes(sizes[name])}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
