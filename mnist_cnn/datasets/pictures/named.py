"""Finds the pictures that a table names, wherever they are in its folder."""

from collections import defaultdict
from pathlib import Path

from mnist_cnn.datasets.naming import short, some
from mnist_cnn.datasets.paths.roles import role_in
from mnist_cnn.datasets.paths.tree import entries_under, inside, is_picture, shown
from mnist_cnn.datasets.pictures.files import PictureFile, inspect
from mnist_cnn.errors import UsageError


class NamedPictures:
    """Finds the pictures that a table names, beside it or anywhere in the folder."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: The folder that the pictures must be in.
        """
        self._root = root
        self._by_name: dict[str, list[Path]] | None = None
        self._folders: set[str] = set()
        self._elsewhere: list[str] = []

    def file(
        self, text: str, table: Path, row: str, unreadable: list[str] | None
    ) -> PictureFile | None:
        """Find and inspect the picture that a row names, see `path`.

        Returns:
            The picture, or None if it cannot be read and `unreadable` was given, see `folder`.
        """
        path = inside(self.path(text, table, row), self._root)
        files, skipped = inspect([path], self._root, unreadable)
        if skipped:
            raise UsageError(f"{row} names {skipped[0]}, which is not a picture")
        return files[0] if files else None

    def path(self, text: str, table: Path, row: str) -> Path:
        """Find the file that a row names.

        If it is not at the path that the row gives, the file of this name counts that has most of
        the folders in that path. If there are several, the one in a folder of the table's part
        counts.

        Args:
            text: A name or a path, with either kind of slash, with or without a suffix.
            table: The file with the row.
            row: How messages refer to the row.

        Raises:
            UsageError: If there is no such file, or more than one. Also if a folder in the path
                exists, but has no such file: another one of that name may be of another class.
        """
        text = text.strip().replace("\\", "/")
        if not text:
            raise UsageError(f"{row} does not name a picture")
        try:
            if (path := table.parent / text).is_file():
                return path
        except (OSError, ValueError):
            pass  # too long for a file name, or contains a zero byte
        found = self._candidates(Path(text), table)
        if len(found) != 1:
            where = f"is {len(found)} times" if found else "is not"
            raise UsageError(f"{row} names {short(text)!r}, which {where} in {shown(self._root)}")
        given = Path(text).parent.parts
        if given and not _in_common(given, self._above(found[0])):
            self._elsewhere.append(f"{row} names {short(text)!r}: {shown(found[0], self._root)}")
        return found[0]

    def remarks(self) -> list[str]:
        """A remark if pictures were found by name, in none of the folders that their rows give."""
        if not self._elsewhere:
            return []
        return [f"found by name alone, in another folder than given: {some(self._elsewhere)}"]

    def _candidates(self, path: Path, table: Path) -> list[Path]:
        """The files that a path may mean."""
        given, found = path.parent.parts, self._named(path.name)
        if len(found) < 2 and not given and table.parent == self._root:
            return found  # most tables are like this, and may be long
        in_common = [_in_common(given, self._above(file)) for file in found]
        most = max(in_common, default=0)
        found = [file for file, count in zip(found, in_common, strict=True) if count == most]
        if most < len(given) and (missed := given[-1 - most]) in self._folders:
            found = [file for file in found if missed in self._above(file)]
        own = role_in(table.parent.name) if table.parent != self._root else None
        if own:  # the other parts have tables of their own
            found = [file for file in found if self._roles(file) <= {own}]
        role = role_in(table.stem) or own
        return [file for file in found if role in self._roles(file)] or found

    def _above(self, file: Path) -> tuple[str, ...]:
        return file.relative_to(self._root).parent.parts

    def _roles(self, file: Path) -> set[str]:
        return {role for name in self._above(file) if (role := role_in(name))}

    def _named(self, name: str) -> list[Path]:
        """The files of this name in the root; for pictures, also without their suffix."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path, is_folder in entries_under(self._root, self._root):
                if is_folder:
                    self._folders.add(path.name)
                    continue
                for known in {path.name, path.stem} if is_picture(path) else {path.name}:
                    self._by_name[known].append(path)
        return self._by_name.get(name, [])


def _in_common(given: tuple[str, ...], above: tuple[str, ...]) -> int:
    """How many folders two paths have in common, counted from the file upwards."""
    count = 0
    while count < min(len(given), len(above)) and given[-1 - count] == above[-1 - count]:
        count += 1
    return count
