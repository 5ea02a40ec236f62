"""What a repeated training came to, and in what two recipes differ.

It needs no Keras, so that the search process can use it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replayed:
    """The outcome of a repeated training.

    Attributes:
        recipe: What it depended on, to hold against the recorded one.
        history: The metrics of each epoch.
        weights: The SHA-256 of the saved weights.
    """

    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], of: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each thing that `before` names and that is another `now`: its name, both values."""
    for name, was in before.items():
        value = now.get(name)
        if isinstance(was, Mapping) and isinstance(value, Mapping):
            yield from differences(was, value, f"{of}{name}.")
        elif was != value:
            yield f"{of}{name}", was, value
