"""What messages call files, arrays and the images in them."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


class Where(NamedTuple):
    """An array, or a column, in a message.

    text: what it is called, as `digits.npz: x_train`.
    names: what each entry is called, as `row 17 of digits.csv`; None where its place says it.
    """

    text: str
    names: Sequence[str] | None = None

    def at(self, index: int) -> str:
        """The entry at an index."""
        return f"image {index} of {self.text}" if self.names is None else str(self.names[index])


def printable(text: str) -> str:
    """Text that can be printed in one line, whatever bytes a file's name was made of.

    Letters with accents are one character each, as Linux writes them and macOS does not.
    """
    plain = unicodedata.normalize("NFC", text)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain
    )


def some(names: list[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def reason(error: BaseException) -> str:
    """What a library's error says, in one short line: some quote the file that they read."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"
