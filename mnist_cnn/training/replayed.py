"""What a repeated training came to. It needs no Keras, so that the main process can hold it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replayed:
    """The outcome of a replay.

    Attributes:
        recipe: What it depended on, to hold against the recorded one.
        history: The metrics of each epoch.
        weights: The SHA-256 of the best weights.
    """

    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str
