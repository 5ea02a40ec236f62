"""Values as text, for tables, pages and the terminal."""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

# What people read; exports for programs have Optuna's names.
STATE_WORDS = {state: state.name.lower() for state in TrialState} | {
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def number(value: float) -> str:
    """Format a value of an objective: 0.9876, 1.23e-05 if small, 12,345 if large or a count."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000 or (abs(value) > 1 and value == round(value)):
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"


def difference(value: float) -> str:
    """Format the difference of two values of an objective, with its sign."""
    return f"{value:+.4f}" if 0.001 <= abs(value) < 1000 else f"{value:+.2g}"


def short_value(value: Any) -> str:
    """Format the value of a hyperparameter, in 60 characters at most."""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def counted(count: int, noun: str) -> str:
    """Format a number of things, such as `1 run` or `1,200 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def fresh_seeds(count: int | str) -> str:
    """Format a number of fresh seeds, such as `2 fresh seeds`."""
    return f"{count} fresh seed" if str(count) == "1" else f"{count} fresh seeds"


def in_one_line(values: Mapping[str, Any]) -> str:
    """Format a configuration, such as `units=64, rate=0.001`."""
    return ", ".join(f"{name}={short_value(value)}" for name, value in values.items())


def in_columns(rows: Sequence[Sequence[str]], width: float = math.inf) -> list[str]:
    """Return the lines of a table, aligned to the right, at most `width` characters wide."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widths.pop()  # the last columns are the least important
    return ["  ".join(map(str.rjust, row, widths)).rstrip() for row in rows]


def duration(seconds: float) -> str:
    """Format a time span in its two largest units, such as `1 h 05 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{seconds:.0f} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def local_time(seconds: float) -> str:
    """Format seconds since 1970 as a date and time in the local time zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def from_here(path: Path) -> Path:
    """Return the path relative to the current folder if it lies in there: it is shorter to type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def print_text(text: str) -> None:
    """Print a text. It is not an error if the reader stops early, as `| head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python would fail again when it flushes the output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
