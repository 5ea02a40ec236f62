"""The outcome of a repeated run, and the differences between two recipes.

This module does not import Keras, so that the search process can use it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Retrained:
    """The outcome of a repeated run.

    Attributes:
        recipe: Everything that it depended on, to compare with the recorded one.
        history: The metrics of each epoch.
        weights: The SHA-256 of the saved weights.
    """

    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], of: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Compare two recipes.

    Args:
        before: The recorded recipe.
        now: The recipe of the repetition. Values that only it has are ignored.
        of: A prefix for the names.

    Yields:
        The name of each value that differs, its value before and its value now.
    """
    for name, was in before.items():
        value = now.get(name)
        if isinstance(was, Mapping) and isinstance(value, Mapping):
            yield from differences(was, value, f"{of}{name}.")
        elif was != value:
            yield f"{of}{name}", was, value
