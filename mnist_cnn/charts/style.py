"""What the pictures of a study share: size, colours, labels, and the range that is shown.

The colours are much like Okabe and Ito's, which colour-blind people can tell apart; what a colour
says, a marker, a hatching or a line's width says too.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Objective

JUDGED = (TrialState.COMPLETE, TrialState.PRUNED)  # a trial that ended so has a value
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D98300", "#009E73", "#555555"
COLORS = {TrialState.COMPLETE: BLUE, TrialState.PRUNED: ORANGE, TrialState.FAIL: GREY}
MARKERS = {TrialState.COMPLETE: "o", TrialState.PRUNED: "v", TrialState.FAIL: "x"}
BEST_COLOR = "tab:red"  # of the best trial, in every picture

# Of Keras's own metrics and of what a run is measured to cost.
UNITS = {
    "accuracy": "share of the images",
    "loss": "mean over the images",
    "parameters": "count",
    "multiply_accumulates": "count for an image",
}

SHOWN_PARAMETERS = 8  # more could not be read


def new_figure(title: str, height: float = 5) -> tuple[Figure, Axes]:
    """A figure as wide as MLflow shows one, with one picture in it."""
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG of one and a half times the width at which MLflow shows it."""
    figure.savefig(path, dpi=144)


def with_unit(metric: str) -> str:
    """A metric's name with its unit, where the name does not say it itself."""
    for ending, unit in UNITS.items():
        if metric.endswith(ending):
            return f"{metric} ({unit})"
    return metric


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name both axes; along x there are whole numbers."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def legend(axes: Axes) -> None:
    """A legend in a row below the picture, where it hides nothing."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=count, frameon=False)


def has_value(trial: FrozenTrial) -> bool:
    """Whether the trial has a first value that can be drawn."""
    return bool(trial.values) and math.isfinite(trial.values[0])


def complete(trials: Iterable[FrozenTrial], objective: Objective) -> list[FrozenTrial]:
    """The complete trials that can be drawn, the worst first."""
    sign = 1 if objective.direction == "maximize" else -1
    some = [trial for trial in trials if trial.state == TrialState.COMPLETE and has_value(trial)]
    return sorted(some, key=lambda trial: (sign * trial.values[0], -trial.number))


def range_of_the_best(values: Iterable[float], objective: Objective) -> tuple[float, float]:
    """The range of the better three quarters of the values, or of all if they are few.

    Hopeless values would press all that matters into one line.
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return 0.0, 1.0
    if len(ordered) < 8:
        return ordered[0], ordered[-1]
    if objective.direction == "maximize":
        return ordered[len(ordered) // 4], ordered[-1]
    return ordered[0], ordered[3 * len(ordered) // 4]


def limit_to_the_best(axes: Axes, values: Sequence[float], objective: Objective) -> None:
    """Cut the y axis to the range of the best, and say how many values lie outside."""
    low, high = range_of_the_best(values, objective)
    margin = 0.08 * (high - low) or 0.01 * abs(high) or 0.01
    axes.set_ylim(low - margin, high + margin)
    outside = sum(not low - margin <= value <= high + margin for value in values)
    if outside:
        below = objective.direction == "maximize"
        axes.annotate(
            f"{outside} of {len(values)} values lie {'below' if below else 'above'}",
            (0, 0 if below else 1),
            (6, 6 if below else -6),
            xycoords="axes fraction",
            textcoords="offset points",
            va="bottom" if below else "top",
            fontsize=9,
            color=GREY,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )


def wrapped(name: str, width: int) -> str:
    """A parameter's name in lines of at most `width` characters, its conditions on their own."""
    lines = []
    for part in name.replace("[", "\n[").split("\n"):
        while len(part) > width:
            cut = max(part.rfind(mark, 0, width) for mark in "_/,=| ") + 1 or width
            lines.append(part[:cut])
            part = part[cut:]
        lines.append(part)
    return "\n".join(lines)
