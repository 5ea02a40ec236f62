"""A table in a text file: detects its encoding, separator and columns."""

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.datasets.arrays.pixels import side_of
from mnist_cnn.datasets.naming import reason
from mnist_cnn.datasets.paths.tree import is_picture, shown
from mnist_cnn.errors import UsageError

# Names of columns, in lower case without spaces and punctuation. The first match counts.
_LABEL = (
    "label",
    "labels",
    "class",
    "classname",
    "labelname",
    "target",
    "category",
    "digit",
    "classid",
)
_IMAGE = ("image", "filename", "file", "filepath", "path", "imagepath", "imagename", "imagefile")
_IMAGE_ID = ("imageid", "id")
_GROUP = ("group", "writer", "writerid", "userid", "subject")
_SPLIT = ("split", "subset", "usage")
_INDEX = ("", "unnamed0", "id", "index")

_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """A table that has not been read yet.

    Attributes:
        path: The file.
        encoding: Its encoding, by Python's name.
        separator: What separates its columns.
        names: The names of the columns, or the first row if there is no header.
        header: Whether the first row names or counts the columns.
        remark: What is assumed about the label; "" if a column has its name.
        special: The indices of the columns `label`, `image`, `group` and `split`, if present.
        pixels: The indices of the columns with pixels. Empty if the table names pictures.
    """

    path: Path
    encoding: str
    separator: str
    names: list[str]
    header: bool
    remark: str
    special: dict[str, int]
    pixels: list[int]

    @property
    def first_row(self) -> int:
        """The number of the first row with an image, counting from 1."""
        return 2 if self.header else 1

    @property
    def has_images(self) -> bool:
        """Whether it has pixels or names pictures."""
        return bool(self.pixels) or "image" in self.special

    def rows(self) -> Iterator[list[str]]:
        """Read the rows in order.

        Raises:
            UsageError: For a row of a different length, and for text that cannot be read.
        """
        with _reading(self.path), self.path.open(encoding=self.encoding) as file:
            reader = csv.reader(file, delimiter=self.separator)
            rows = (row for row in reader if row)
            if self.header:
                next(rows)
            for number, row in enumerate(rows, self.first_row):
                if len(row) != len(self.names):
                    raise UsageError(
                        f"{shown(self.path)} has {len(row)} columns in row {number}; expected "
                        f"{len(self.names)}, as in the first row"
                    )
                yield row


def open_table(path: Path) -> Table:
    """Detect the columns of a table from its first row.

    Raises:
        UsageError: If it is empty or not text.
    """
    with _reading(path):
        encoding = _encoding(path)
        with path.open(encoding=encoding) as file:
            line = next((line for line in file if line.strip()), "")
        separator = max(_SEPARATORS, key=line.count)
        first = next(csv.reader([line], delimiter=separator), [])
    if not first:
        raise UsageError(f"{shown(path)} is empty")
    names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in first]
    counted = _counted(first)
    header = bool(counted) or _is_header(first, names)
    remark = ""
    if counted:
        special = {"label": len(first) - len(counted)}
        remark = f"the header only counts the columns, so column {counted[0]} is taken as the label"
    elif header:
        special = _by_name(names)
    else:
        special = _by_place(first)
        remark = "there is no header, so the first column is taken as the label"
    others = set(range(len(first))) - set(special.values())
    if header:
        others -= {index for index in others if names[index] in _INDEX}
    pixels = sorted(others) if side_of(len(others)) else []
    if "image" in special:
        pixels = []
    elif header and not pixels:
        special |= _first(names, "image", _IMAGE_ID)
    return Table(path, encoding, separator, first, header, remark, special, pixels)


def _counted(first: list[str]) -> list[str]:
    """The cells of a first row that counts the columns from 0 or 1, as pandas writes for an array.

    Taken as an image it would have pixels up to their number, and all others would be black.

    Returns:
        The cells without that of the row's index, or none if the row does something else.
    """
    cells = [cell.strip() for cell in first]
    cells = cells[1:] if cells[0] == "" else cells
    for start in (0, 1):
        if len(cells) > 1 and cells == [str(start + place) for place in range(len(cells))]:
            return cells
    return []


def _is_header(first: list[str], names: list[str]) -> bool:
    if any(is_picture(Path(cell)) for cell in first):
        return False
    if {*_LABEL, *_IMAGE, *_GROUP, *_SPLIT} & set(names):
        return True
    return 2 * sum(map(is_number, first)) < len(first)


def _by_name(names: list[str]) -> dict[str, int]:
    """The index of each special column that is present."""
    found: dict[str, int] = {}
    known = {"label": _LABEL, "image": _IMAGE, "group": _GROUP, "split": _SPLIT}
    for column, said in known.items():
        found |= _first(names, column, said)
    return found


def _first(names: list[str], column: str, said: tuple[str, ...]) -> dict[str, int]:
    return next(({column: names.index(name)} for name in said if name in names), {})


def _by_place(first: list[str]) -> dict[str, int]:
    """Without a header, the label comes first, or beside the name of a picture."""
    pictures = [index for index, cell in enumerate(first) if is_picture(Path(cell))]
    if len(pictures) == 1 and len(first) == 2:
        return {"image": pictures[0], "label": 1 - pictures[0]}
    return {"label": 0}


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        place = _undecodable(path, error.encoding)
        raise UsageError(
            f"{shown(path)} is not UTF-8 text, at byte {place:,}; save it as UTF-8"
        ) from None
    except (OSError, csv.Error) as error:
        raise UsageError(f"cannot read {shown(path)}: {reason(error)}") from None


def _undecodable(path: Path, encoding: str) -> int:
    """The place of the first wrong byte in a file. That of the first error is one in a buffer."""
    decoder = codecs.getincrementaldecoder(encoding)()
    place = 0
    with path.open("rb") as file:
        while True:
            piece = file.read(2**20)
            held = len(decoder.getstate()[0])  # the beginning of a character
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                return place - held + error.start
            if not piece:
                return place
            place += len(piece)
