"""A table with a label and pixels, or a label and the name of a picture, in each row."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.assembly import Arrays, of_arrays
from mnist_cnn.datasets.arrays.labels import numbered
from mnist_cnn.datasets.arrays.pixels import as_images
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, printable, short, some
from mnist_cnn.datasets.parts import Shape
from mnist_cnn.datasets.paths.roles import name_of, role_in, role_of, settle
from mnist_cnn.datasets.paths.tree import files_in, folders_in, is_picture, root_of, shown
from mnist_cnn.datasets.pictures.files import Labelled, PictureFile, of_files
from mnist_cnn.datasets.pictures.named import NamedPictures
from mnist_cnn.datasets.sources import emnist
from mnist_cnn.datasets.sources.table_file import Table, is_number, open_table
from mnist_cnn.errors import UsageError

_SUFFIXES = (".csv", ".tsv")
_PARTS = {
    "train": "the training part",
    "validation": "the validation part",
    "test": "the test part",
}
_EXPECTED = "expected columns `label` and pixels, or `image` and `label`"


def csv(
    path: str | Path, unreadable: list[str] | None = None, shape: Shape | None = None
) -> Dataset:
    """A table with a label and an image in each row.

    The image is given by the pixels of a square, line by line, as in Kaggle's Digit Recognizer, or
    by the name of a picture in the table's folder, in a column `image`. The label is in the column
    `label`, or in the first column if there are pixels and no names. Optional columns are `group`,
    whose images stay on one side of a split, and `split`: train, validation or test. Columns are
    separated by commas, semicolons, tabs or bars, and the text is UTF-8 or UTF-16.

    Args:
        path: The table, or a folder with one table, or with one per part, such as train.csv and
            test.csv.
        unreadable: As in `folder`.
        shape: As in `folder`, for pictures.

    Raises:
        UsageError: For an invalid table. It names the row or the column. For pictures, also as
            `folder` does.
    """
    root = root_of(path)
    tables, notes = _tables(root)
    name = name_of(root)
    if tables["train"].pixels:
        return _of_pixels(name, tables, notes)
    place = root if root.is_dir() else root.parent
    return _of_pictures(name, tables, place, notes, unreadable, shape)


def has_tables(folder: Path) -> bool:
    """Whether a folder, or the sub-folders of its parts, have tables with labelled images."""
    return any(map(_is_labelled, tables_in(folder)))


def table_files(path: Path) -> Iterator[Path]:
    """List the tables at a path, and the pictures that they name.

    Raises:
        UsageError: As `csv` does for the tables, and for pictures that are not there.
    """
    yield from [path] if path.is_file() else tables_in(path)
    pictures = NamedPictures(path if path.is_dir() else path.parent)
    for table in _tables(path)[0].values():
        for name, row in [] if table.pixels else _named_rows(table):
            yield pictures.path(row[table.special["image"]], table.path, name)


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder or, if there are none, in sub-folders such as `train` and `test`."""
    parts = [path for path in folders_in(folder, folder) if role_in(path.name)]
    for places in ([folder], parts):
        files = [path for place in places for path in files_in(place, folder)]
        if found := [path for path in files if path.suffix.lower() in _SUFFIXES]:
            return found
    return []


def _is_labelled(path: Path) -> bool:
    try:
        return bool(_labelled([path]))
    except UsageError:
        return False


def _labelled(paths: Iterable[Path]) -> list[Table]:
    """The tables with labelled images. If some have pixels, others are for submissions."""
    tables = [open_table(path) for path in paths]
    found = [table for table in tables if table.has_images and "label" in table.special]
    found = [table for table in found if table.pixels or not _lists_classes(table)]
    return [table for table in found if table.pixels] or found


def _lists_classes(table: Table) -> bool:
    """Whether its rows are classes and not pictures: numbers, and each label once."""
    seen = set()
    for row in table.rows():
        label = row[table.special["label"]]
        if label in seen or is_picture(Path(row[table.special["image"]])):
            return False
        seen.add(label)
    return True


def _tables(root: Path) -> tuple[dict[str, Table], list[str]]:
    """The tables by role, and remarks."""
    paths = [root] if root.is_file() else tables_in(root)
    if len(paths) == 1:
        table = _checked(open_table(paths[0]))
        return {"train": table}, _remarks([table])
    tables = _labelled(paths)
    if len(tables) == 1:
        roles = {"train": tables[0]}
    else:
        roles = {_role(table.path, root): table for table in tables}
    if len(roles) < len(tables) or "train" not in roles or "" in roles:
        names = some([shown(path, root) for path in paths], 6) or "none"
        raise UsageError(f"{shown(root)} has the tables {names}; give the path of the right one")
    used = {table.path for table in tables}
    others = [shown(path, root) for path in paths if path not in used]
    skipped = f"skipped, as these have no labelled images: {some(others)}"
    return roles, [skipped] * bool(others) + _remarks(tables)


def _remarks(tables: list[Table]) -> list[str]:
    """The remarks of tables with pixels, each once. Names of pictures need no header."""
    return list(dict.fromkeys(table.remark for table in tables if table.pixels and table.remark))


def _checked(table: Table) -> Table:
    columns = some([short(name, 40) or "''" for name in table.names], 6)
    if "label" not in table.special:
        raise UsageError(f"{shown(table.path)} has no column `label`, but {columns}; {_EXPECTED}")
    if not table.has_images:
        raise UsageError(
            f"{shown(table.path)} has the columns {columns}: {len(table.names) - 1} besides the "
            f"label, which do not make a square image; {_EXPECTED}"
        )
    return table


def _role(path: Path, root: Path) -> str:
    above = path.parent.name if path.parent != root else ""
    return role_in(path.stem) or role_in(above) or ""


@dataclass
class _Rows:
    """The rows of one part, column by column.

    Attributes:
        images: The pixels or the picture file of each row.
        labels: As written.
        groups: As written, or "" of a row whose table has no such column.
        names: How messages refer to each row.
    """

    images: list[Any] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def checked_groups(self) -> NDArray[np.str_] | None:
        """The groups, or None if no row has one."""
        if not any(self.groups):
            return None
        if "" in self.groups:
            raise UsageError(
                f"{self.names[self.groups.index('')]} has no group, rows of other tables have; add "
                "the column `group` to its table, or remove it from the others"
            )
        return np.array(self.groups)


def _read(
    tables: dict[str, Table], image: Callable[[Table, list[str], str], Any]
) -> dict[str, _Rows]:
    """Read tables.

    Args:
        tables: The tables by role.
        image: Returns the pixels or the picture file of a row. Rows without one are skipped.

    Returns:
        The rows by role, which are those of the tables unless they have a column `split`.
    """
    found: dict[str, _Rows] = defaultdict(_Rows)
    for role, table in tables.items():
        for name, row in _named_rows(table):
            if (read := image(table, row, name)) is None:
                continue
            rows = found[_split(table, row, name) or role]
            rows.images.append(read)
            rows.labels.append(row[table.special["label"]])
            rows.names.append(name)
            rows.groups.append(_group(table, row, name))
    if "train" not in found:
        table = next(iter(tables.values()))
        raise UsageError(f"{shown(table.path)} has no images to train on; {_EXPECTED}")
    return found


def _named_rows(table: Table) -> Iterator[tuple[str, list[str]]]:
    """The rows of a table, and how messages refer to each."""
    for number, row in enumerate(table.rows(), table.first_row):
        yield f"row {number} of {printable(table.path.name)}", row


def _group(table: Table, row: list[str], name: str) -> str:
    """The group that a row has; "" if there is no such column."""
    if "group" not in table.special:
        return ""
    # Without their own groups, all such rows would form a single one.
    if group := row[table.special["group"]].strip():
        return group
    raise UsageError(f"{name} has no group; fill it in, or remove the column from the table")


def _split(table: Table, row: list[str], name: str) -> str:
    """The role that the column `split` gives a row; "" if there is no such column."""
    if "split" not in table.special:
        return ""
    text = row[table.special["split"]]
    if role := role_of(text):
        return role
    raise UsageError(f"{name} has the split {short(text)!r}; valid: train, validation, test")


def _of_pixels(name: str, tables: dict[str, Table], notes: list[str]) -> Dataset:
    file = next(iter(tables.values())).path.name
    parts = {
        role: _arrays(rows, f"{_PARTS[role]} of {name}", emnist.is_emnist(file))
        for role, rows in _read(tables, _pixels).items()
    }
    notes = [*notes, *emnist.remarks(file)]
    return of_arrays(name, parts, emnist.class_names(file), notes)


def _arrays(rows: _Rows, what: str, on_its_side: bool) -> Arrays:
    where, x = Where(what, rows.names), np.stack(rows.images)
    if on_its_side:
        x = emnist.upright(as_images(where, x))
    return Arrays(
        x, np.array(rows.labels), where, where, rows.checked_groups(), np.array(rows.names)
    )


_BYTES = {str(level): level for level in range(256)}


def _pixels(table: Table, row: list[str], name: str) -> NDArray[np.number]:
    cells = [row[index] for index in table.pixels]
    try:
        return np.frombuffer(bytes(map(_BYTES.__getitem__, cells)), np.uint8)  # much faster
    except KeyError:
        pass
    try:
        return np.fromiter(map(float, cells), np.float32, len(cells))
    except ValueError:
        wrong = next(index for index in table.pixels if not is_number(row[index]))
        column = short(table.names[wrong]) if table.header else str(wrong + 1)
        raise UsageError(
            f"{name} has {short(row[wrong])!r} in column {column}; expected a number"
        ) from None


def _of_pictures(
    name: str,
    tables: dict[str, Table],
    root: Path,
    notes: list[str],
    unreadable: list[str] | None,
    shape: Shape | None,
) -> Dataset:
    pictures = NamedPictures(root)

    def picture(table: Table, row: list[str], name: str) -> PictureFile | None:
        return pictures.file(row[table.special["image"]], table.path, name, unreadable)

    found = _read(tables, picture)
    part, more = settle(found, _PARTS["validation"])
    if validation := found.pop("validation", None):
        for column in fields(_Rows):
            getattr(found[part], column.name).extend(getattr(validation, column.name))
    names, numbers = numbered(
        [Where(name, rows.names) for rows in found.values()],
        [np.array(rows.labels) for rows in found.values()],
    )
    labelled = {
        role: Labelled(rows.images, [names[label] for label in labels], rows.checked_groups())
        for (role, rows), labels in zip(found.items(), numbers, strict=True)
    }
    remarks = [*notes, *more, *pictures.remarks()]
    return of_files(name, names, labelled["train"], labelled.get("test"), shape, remarks)
