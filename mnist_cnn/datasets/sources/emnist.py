"""Peculiarities of EMNIST's files: transposed images, and numbers that stand for letters."""

import re
import string
from typing import Any

from numpy.typing import NDArray

_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
# The number of the first class of each set, and its characters.
_CLASSES = {
    "letters": (1, string.ascii_uppercase),
    "balanced": (0, _MERGED),
    "bymerge": (0, _MERGED),
    "byclass": (0, string.digits + string.ascii_uppercase + string.ascii_lowercase),
}


def is_emnist(name: str) -> bool:
    """Whether the name of a file or a set is one of EMNIST's."""
    return re.match("emnist[-_]", name.lower()) is not None


def upright(x: NDArray[Any]) -> NDArray[Any]:
    """Transpose EMNIST's images, of shape (n, width, height, ...), so that they can be read."""
    return x.swapaxes(1, 2)


def remarks(name: str) -> list[str]:
    """What is assumed about a file or set of this name."""
    if not is_emnist(name):
        return []
    return [f"{name} is EMNIST by its name, so its images are transposed, which puts them upright"]


def class_names(name: str) -> dict[str, str]:
    """The characters that labels stand for in a file or set of this name, if not digits."""
    for kind, (first, characters) in _CLASSES.items():
        if is_emnist(name) and kind in name.lower():
            return {str(number): char for number, char in enumerate(characters, first)}
    return {}
