"""How messages refer to files, arrays and the images in them."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


class Where(NamedTuple):
    """How messages refer to an array or a column.

    Attributes:
        text: The array itself, such as `digits.npz: x_train`.
        names: Each of its entries, such as `row 17 of digits.csv`. None if an index is enough.
    """

    text: str
    names: Sequence[str] | None = None

    def at(self, index: int) -> str:
        """How messages refer to the entry at `index`."""
        return f"image {index} of {self.text}" if self.names is None else str(self.names[index])


def printable(text: str) -> str:
    """Escape a file name so that it prints on one line, whatever bytes it consists of.

    Accented letters become one character each: Linux writes them so, macOS as two.
    """
    plain = unicodedata.normalize("NFC", text)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain
    )


def some(names: list[str], most: int = 3) -> str:
    """The first `most` names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def reason(error: BaseException) -> str:
    """A library's error message, cut to one short line: some quote the file they read."""
    return short(" ".join(str(error).split())) or type(error).__name__


def short(text: str, most: int = 160) -> str:
    """Text that prints on one line, cut to at most `most` characters."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
