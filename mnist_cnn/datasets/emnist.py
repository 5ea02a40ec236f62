"""What is peculiar to EMNIST's files: images on their side, and letters as numbers."""

import re
import string
from typing import Any

from numpy.typing import NDArray

_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
# For each set: the number of the first class, and what the classes are.
_CLASSES = {
    "letters": (1, string.ascii_uppercase),
    "balanced": (0, _MERGED),
    "bymerge": (0, _MERGED),
    "byclass": (0, string.digits + string.ascii_uppercase + string.ascii_lowercase),
}


def is_emnist(name: str) -> bool:
    """Whether a file of this name is one of EMNIST's."""
    return re.match("emnist[-_]", name.lower()) is not None


def upright(x: NDArray[Any]) -> NDArray[Any]:
    """EMNIST's images as they are read, from (n, height, width, ...) with these two exchanged."""
    return x.swapaxes(1, 2)


def class_names(name: str) -> dict[str, str]:
    """What a set's numbers stand for, where a file of this name has others than digits."""
    for kind, (first, characters) in _CLASSES.items():
        if is_emnist(name) and kind in name.lower():
            return {str(number): char for number, char in enumerate(characters, first)}
    return {}
