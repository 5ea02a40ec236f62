"""Pictures that a table names, wherever they lie in its folder."""

from collections import defaultdict
from pathlib import Path

from mnist_cnn.datasets.naming import printable
from mnist_cnn.datasets.picture_files import PictureFile, look_at
from mnist_cnn.datasets.roles import role_in
from mnist_cnn.datasets.tree import files_under, inside, shown
from mnist_cnn.errors import UsageError


class NamedPictures:
    """Finds the pictures that a table names: beside it, or anywhere under the folder.

    root: the folder that they must lie in. unreadable: as in `folder`.
    """

    def __init__(self, root: Path, unreadable: list[str] | None) -> None:
        self._root = root
        self._unreadable = unreadable
        self._by_name: dict[str, list[Path]] | None = None

    def file(self, text: str, table: Path, row: str) -> PictureFile | None:
        """The picture that a row names; None if it cannot be read and that is noted.

        Args:
            text: the name, or a path, with any separators, with or without a suffix.
            table: the file that names it; of pictures of one name that of its part is meant.
            row: what a message calls the row.

        Raises:
            UsageError: if it is not there, or several times, is no picture, or lies elsewhere.
        """
        text = text.strip().replace("\\", "/")
        path = inside(self._find(table, text, row), self._root)
        files, left_out = look_at([path], self._root, self._unreadable)
        if left_out:
            raise UsageError(f"{row} names {left_out[0]}, which is no picture")
        return files[0] if files else None

    def _find(self, table: Path, text: str, row: str) -> Path:
        if not text:
            raise UsageError(f"{row} names no picture")
        try:
            if (path := table.parent / text).is_file():
                return path
        except (OSError, ValueError):
            pass  # too long for a name, or with a zero byte
        found = self._named(Path(text).name)
        if len(found) > 1:
            role = role_in(table.stem)
            found = [path for path in found if role in map(role_in, self._above(path))] or found
        if len(found) == 1:
            return found[0]
        where = "is not" if not found else f"is {len(found)} times"
        raise UsageError(f"{row} names {printable(text)!r}, which {where} in {shown(self._root)}")

    def _above(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parent.parts

    def _named(self, name: str) -> list[Path]:
        """The files of this name under the root, with or without their suffix."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in files_under(self._root, self._root):
                for known in {path.name, path.stem}:
                    self._by_name[known].append(path)
        return self._by_name.get(name, [])
