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
NOT_SENT = ("mlruns",)
NOT_SENT_ANYWHERE = ("__pycache__", ".git", ".egg-info", ".gitignore")  # Ray would read the last
IGNORED = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
HOW_TO_LEAVE_OUT = "or let git ignore it"


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
                f"{HOW_TO_LEAVE_OUT}"
            )
        if not os.access(root / file, os.R_OK):
            raise _unreadable(file)
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).symlink_to(root / file)
    return files


def sent_files(root: Path) -> list[Path]:
    """Return the files of a project that are sent, relative to it.

    Not sent are virtual environments, what git ignores, and what is no regular file. Links are
    followed, except to folders around them and to what is not sent.

    Raises:
        UserError: A folder cannot be read.
    """
    root = root.resolve()
    return sorted(file.relative_to(root) for file in _files(root, root, _ignored(root), ()))


def _files(
    folder: Path, root: Path, ignored: set[Path], around: tuple[Path, ...]
) -> Iterator[Path]:
    """Yield the files of a folder.

    Args:
        folder: The folder, in the project or behind a link.
        root: The project.
        ignored: The files and folders that git ignores.
        around: The real folders on the way to this one.
    """
    if around and (folder / ".git").exists():  # a repository in the project has its own rules
        ignored = ignored | _ignored(folder)
    around = (*around, folder.resolve())
    for path in _entries(folder, root):
        if path in ignored or _is_left_out(path, root):
            continue
        try:
            if not path.is_dir():
                if path.is_file():
                    yield path
                continue
            if path.is_symlink() and not _is_followed(path, root, around):
                continue
            if (path / "pyvenv.cfg").is_file():
                continue
        except PermissionError:
            raise _unreadable(path.relative_to(root)) from None
        yield from _files(path, root, ignored, around)


def _entries(folder: Path, root: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:  # it was removed meanwhile
        return []
    except OSError:
        raise _unreadable(folder.relative_to(root)) from None


def _is_left_out(path: Path, root: Path) -> bool:
    return path.name.endswith(NOT_SENT_ANYWHERE) or str(path.relative_to(root)) in NOT_SENT


def _is_followed(link: Path, root: Path, around: tuple[Path, ...]) -> bool:
    """Return whether a link to a folder is followed."""
    target = link.resolve()
    if target in around or root.is_relative_to(target):
        return False
    if any(target.is_relative_to(root / name) for name in (*NOT_SENT, ".git")):
        return False
    return not _is_ignored_folder(link)


def _is_ignored_folder(link: Path) -> bool:
    """Return whether the rules beside a link ignore a folder of its name.

    For git, the rule `data/` is not about a link.
    """
    try:
        rules = (link.parent / ".gitignore").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return not {f"{link.name}/", f"/{link.name}/"}.isdisjoint(rule.strip() for rule in rules)


def _ignored(root: Path) -> set[Path]:
    """Return the files and folders below `root` that git ignores; none without git.

    Outside of a repository, in a folder that an outer repository ignores, and in a repository that
    git does not trust, the `.gitignore` files of the project count.
    """
    with tempfile.TemporaryDirectory() as folder:
        init = ["git", "init", "--quiet", folder]
        other = ["git", f"--git-dir={folder}/.git", "--work-tree=."]
        for command in (["git", *IGNORED], init, [*other, *IGNORED]):
            try:
                ran = subprocess.run(command, cwd=root, capture_output=True, check=False)
            except FileNotFoundError:
                return set()
            names = [name for name in ran.stdout.split(b"\0") if name]
            if command is not init and not ran.returncode and b"./" not in names:
                return {root / os.fsdecode(name) for name in names}
    return set()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(path: Path) -> UserError:
    return UserError(
        f"{path} cannot be read, so it cannot be sent to the nodes; make it readable, "
        f"{HOW_TO_LEAVE_OUT}"
    )


def largest(root: Path, files: list[Path]) -> str:
    """Return the size of some files, and which is the largest, in words."""
    sizes = {file: (root / file).stat().st_size for file in files if (root / file).exists()}
    name = max(sizes, key=lambda file: sizes[file])
    return f"{_megabytes(sum(sizes.values()))}, of which {name} has {_megabytes(sizes[name])}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
