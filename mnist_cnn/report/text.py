"""Values as people read them, in tables and pages, and how text gets to the terminal."""

import math
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.trial import TrialState

STATE_WORDS = {state: state.name.lower() for state in TrialState} | {TrialState.FAIL: "failed"}


def number(value: float) -> str:
    """An objective's value: four places, more where it is small, none where it is large."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"


def difference(value: float) -> str:
    """A difference of two values of an objective, with its sign."""
    return f"{value:+.4f}" if 0.001 <= abs(value) < 1000 else f"{value:+.2g}"


def short(value: Any) -> str:
    """A hyperparameter's value."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def fresh_seeds(count: int | str) -> str:
    """A number of seeds, as 2 fresh seeds."""
    return f"{count} fresh seed" if str(count) == "1" else f"{count} fresh seeds"


def configuration(values: Mapping[str, Any]) -> str:
    """Hyperparameters in one line."""
    return ", ".join(f"{name}={short(value)}" for name, value in values.items())


def duration(seconds: float) -> str:
    """A time span in its two greatest units, as 1 h 05 min."""
    whole = round(seconds)
    if whole < 100:
        return f"{seconds:.0f} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def moment(seconds: float) -> str:
    """A moment, given in seconds since 1970, in local time."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def show(text: str) -> None:
    """Print a text; a reader that goes away before its end, as `| head` does, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python would complain once more when it closes the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
