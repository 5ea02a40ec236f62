"""Finds the pictures that a table names, wherever they are in its folder."""

from collections import defaultdict
from pathlib import Path

from mnist_cnn.datasets.naming import short
from mnist_cnn.datasets.paths.roles import role_in
from mnist_cnn.datasets.paths.tree import files_under, inside, shown
from mnist_cnn.datasets.pictures.files import PictureFile, inspect
from mnist_cnn.errors import UsageError


class NamedPictures:
    """Finds the pictures that a table names, beside it or anywhere in the folder."""

    def __init__(self, root: Path, unreadable: list[str] | None) -> None:
        """
        Args:
            root: The folder that the pictures must be in.
            unreadable: As in `folder`.
        """
        self._root = root
        self._unreadable = unreadable
        self._by_name: dict[str, list[Path]] | None = None

    def file(self, text: str, table: Path, row: str) -> PictureFile | None:
        """Find the picture that a row names.

        Args:
            text: A name or a path, with either kind of slash, with or without a suffix.
            table: The file with the row. If several pictures have the name, the one in a folder of
                the same part counts.
            row: How messages refer to the row.

        Returns:
            The picture, or None if it cannot be read and `unreadable` was given.

        Raises:
            UsageError: If there is no such picture, or more than one, or it is outside the root.
        """
        text = text.strip().replace("\\", "/")
        path = inside(self._find(table, text, row), self._root)
        files, skipped = inspect([path], self._root, self._unreadable)
        if skipped:
            raise UsageError(f"{row} names {skipped[0]}, which is not a picture")
        return files[0] if files else None

    def _find(self, table: Path, text: str, row: str) -> Path:
        if not text:
            raise UsageError(f"{row} does not name a picture")
        try:
            if (path := table.parent / text).is_file():
                return path
        except (OSError, ValueError):
            pass  # too long for a file name, or contains a zero byte
        found = self._named(Path(text).name)
        if len(found) > 1:
            role = role_in(table.stem)
            found = [path for path in found if role in map(role_in, self._above(path))] or found
        if len(found) == 1:
            return found[0]
        where = f"is {len(found)} times" if found else "is not"
        raise UsageError(f"{row} names {short(text)!r}, which {where} in {shown(self._root)}")

    def _above(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parent.parts

    def _named(self, name: str) -> list[Path]:
        """The files of this name in the root, with or without their suffix."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in files_under(self._root, self._root):
                for known in {path.name, path.stem}:
                    self._by_name[known].append(path)
        return self._by_name.get(name, [])
