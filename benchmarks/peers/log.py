"""The command line of a peer, and the log to which it writes. Nothing slow is imported here."""

import argparse
import json
import time
from pathlib import Path


def arguments(*methods: str) -> argparse.Namespace:
    """A peer's command line: METHOD [RECIPE] --seed N --seconds S --log FILE."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=methods)
    parser.add_argument("recipe", choices=("guide", "settings"), nargs="?")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--log", type=Path, required=True)
    return parser.parse_args()


def note(path: Path, trial: object, val_accuracy: float, when: float | None = None) -> None:
    """Append one epoch's result to a log."""
    line = {"time": when or time.time(), "trial": str(trial), "val_accuracy": val_accuracy}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
