"""The style of all plots: size, colours, labels, units, and the range of values that is shown.

The colours are close to those of Okabe and Ito, which colour-blind people can distinguish. A
marker, a hatch or a line width repeats what a colour means.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.objectives import Objective, keeps_constraints

SCORED = (TrialState.COMPLETE, TrialState.PRUNED)  # a trial that ended in one of these has a value
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D98300", "#009E73", "#555555"
COLORS = {TrialState.COMPLETE: BLUE, TrialState.PRUNED: ORANGE, TrialState.FAIL: GREY}
MARKERS = {TrialState.COMPLETE: "o", TrialState.PRUNED: "v", TrialState.FAIL: "x"}
BEST_COLOR = "tab:red"  # of the best trial, in every plot

# By the ending of a metric's name.
UNITS = {
    "accuracy": "share of the images",
    "loss": "mean over the images",
    "parameters": "count",
    "multiply_accumulates": "count for an image",
}

MAX_PARAMETERS = 8  # hyperparameters in one plot; more would be illegible
FEW_VALUES = 8  # with fewer values, all of them are shown


def new_figure(title: str, height: float = 5) -> tuple[Figure, Axes]:
    """Return a figure with one plot in it, as wide as MLflow shows figures.

    Args:
        title: The title of the plot.
        height: In inches.
    """
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG, 1.5 times as wide as MLflow shows it."""
    show_dollars(figure)
    figure.savefig(path, dpi=144)


def show_dollars(figure: Figure) -> None:
    """Have no text of a figure read as a formula.

    Names of data sets, classes and hyperparameters may have dollar signs. Matplotlib would read
    what is between two of them as a formula, and fail if it is none.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def with_unit(metric: str) -> str:
    """Return the name of a metric with its unit, if that is known."""
    for ending, unit in UNITS.items():
        if metric.endswith(ending):
            return f"{metric} ({unit})"
    return metric


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes; the x axis has integer ticks."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def legend(axes: Axes) -> None:
    """Add a legend in one row below the plot, where it hides nothing."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=count, frameon=False)


def has_value(trial: FrozenTrial) -> bool:
    """Return whether the trial's first objective has a finite value, which can be drawn."""
    return bool(trial.values) and math.isfinite(trial.values[0])


def complete(trials: Iterable[FrozenTrial], objective: Objective) -> list[FrozenTrial]:
    """Return the complete trials that can be drawn, those with the best values last, on top."""
    found = [trial for trial in trials if trial.state == TrialState.COMPLETE and has_value(trial)]
    return sorted(
        found,
        key=lambda trial: (objective.rank_key(trial.values[0]), trial.number),
        reverse=True,
    )


def best(trials: Iterable[FrozenTrial], objective: Objective) -> FrozenTrial | None:
    """Return the best of the `complete` trials that satisfy all constraints; None if none does."""
    kept = [trial for trial in complete(trials, objective) if keeps_constraints(trial)]
    return kept[-1] if kept else None


def range_of_best(values: Iterable[float], objective: Objective) -> tuple[float, float]:
    """Return the lowest and the highest of the best three quarters of the values.

    A few very bad values would squeeze all others into one line.

    Args:
        values: Values of the objective. Those that are not finite are ignored.
        objective: Which values are better.

    Returns:
        The range; that of all values if they are few, and (0, 1) if there are none.
    """
    ranked = sorted(filter(math.isfinite, values), key=objective.rank_key)
    if not ranked:
        return 0.0, 1.0
    if len(ranked) >= FEW_VALUES:
        ranked = ranked[: len(ranked) - len(ranked) // 4]
    return min(ranked), max(ranked)


def limit_to_best(axes: Axes, values: Sequence[float], objective: Objective) -> None:
    """Limit the y axis to `range_of_best`, and say how many values lie outside of it."""
    low, high = range_of_best(values, objective)
    margin = _margin(low, high)
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


def _margin(low: float, high: float) -> float:
    """Return the space to leave below and above a range of values; it is never zero."""
    if low < high:
        return 0.08 * (high - low)
    return 0.01 * abs(high) if high else 0.01


def wrapped(name: str, width: int) -> str:
    """Break a hyperparameter's name into lines; its conditions begin a new line.

    Args:
        name: The name, such as `units[model=cnn]`.
        width: The maximum number of characters in a line.
    """
    lines = []
    for part in name.replace("[", "\n[").split("\n"):
        while len(part) > width:
            cut = max(part.rfind(mark, 0, width) for mark in "_/,=| ") + 1
            if cut == 0:  # no good place to break
                cut = width
            lines.append(part[:cut])
            part = part[cut:]
        lines.append(part)
    return "\n".join(lines)
