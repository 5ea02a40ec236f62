"""The plots of a study's trials by value: optimisation history, importances, learning curves.

Each function returns a Matplotlib figure with a title, labelled axes and units.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BEST_COLOR, COLORS, MARKERS, MAX_PARAMETERS, SCORED
from mnist_cnn.objectives import Objective, keeps_constraints
from mnist_cnn.report.text import STATE_WORDS

MANY_TRIALS = 200  # from here on, markers are small


def optimisation_history(trials: Sequence[FrozenTrial], objective: Objective) -> Figure:
    """Plot the value of each finished trial in the order of finishing, and the best so far."""
    figure, axes = style.new_figure("Optimisation history")
    ordered = sorted(trials, key=_finishing_order)
    for state in SCORED:
        found = [(n, t) for n, t in enumerate(ordered) if t.state == state and style.has_value(t)]
        axes.scatter(
            [place for place, _ in found],
            [trial.values[0] for _, trial in found],
            s=36 if len(ordered) <= MANY_TRIALS else 9,
            color=COLORS[state],
            marker=MARKERS[state],
            label=f"{STATE_WORDS[state]} ({len(found)})",
            zorder=3,
        )
    _mark_failures(axes, ordered)
    _draw_incumbent(axes, ordered, objective)
    values = [trial.values[0] for trial in ordered if style.has_value(trial)]
    style.limit_to_best(axes, values, objective)
    style.label_axes(axes, "trial, in the order of finishing", style.with_unit(objective.metric))
    places = max(len(ordered), 1)
    axes.set_xlim(-0.02 * places - 0.5, 1.02 * places - 0.5)
    style.legend(axes)
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """Plot the importance of each hyperparameter, the greatest on top.

    If there are many, the less important ones are shown as a sum.

    Args:
        shares: By hyperparameter, its share of the total importance, in [0, 1].
    """
    figure, axes = style.new_figure("Hyperparameter importances")
    ordered = sorted(shares, key=lambda name: -shares[name])
    count = MAX_PARAMETERS if len(ordered) > MAX_PARAMETERS + 1 else len(ordered)
    names, others = ordered[:count], ordered[count:]
    bars = [(style.wrapped(name, 28), shares[name], style.BLUE) for name in names]
    if others:
        rest = sum(shares[name] for name in others)
        bars.append((f"the {len(others)} others\ntogether", rest, "#999999"))
    labels, widths, colors = zip(*bars[::-1], strict=True)
    axes.bar_label(axes.barh(labels, widths, color=colors), fmt="%.2f", padding=3)
    axes.margins(x=0.1)
    axes.set_xlabel("importance (PED-ANOVA, shares of 1)")
    return figure


def learning_curves(trials: Sequence[FrozenTrial], objective: Objective) -> Figure:
    """Plot the objective of every trial by epoch. The best trial is on top."""
    figure, axes = style.new_figure("Learning curves of all trials")
    shown = [trial for trial in trials if trial.intermediate_values and trial.state in SCORED]
    best = style.best(shown, objective)
    x, y = _points(best) if best else ([], [])
    label = f"best (trial {best.number})" if best else "best"
    axes.plot(x, y, color=BEST_COLOR, linewidth=2.2, marker="o", ms=4, zorder=3, label=label)
    for state in SCORED:
        _draw_thin_curves(axes, [t for t in shown if t.state == state and t is not best], state)
    values = [value for trial in shown for value in trial.intermediate_values.values()]
    style.limit_to_best(axes, values, objective)
    style.label_axes(axes, "epoch", style.with_unit(objective.metric))
    style.legend(axes)
    return figure


def _points(trial: FrozenTrial) -> tuple[list[int], list[float]]:
    epochs = sorted(trial.intermediate_values)
    return epochs, [trial.intermediate_values[epoch] for epoch in epochs]


def _draw_thin_curves(axes: Axes, trials: Sequence[FrozenTrial], state: TrialState) -> None:
    """Draw all curves as one object, so that thousands are no slower than one; mark their ends."""
    curves = [np.column_stack(_points(trial)) for trial in trials]
    alpha = min(0.5, max(0.05, 30 / (len(trials) + 1)))
    axes.add_collection(LineCollection(curves, colors=COLORS[state], alpha=alpha, linewidths=1))
    ends = np.array([curve[-1] for curve in curves]).reshape(-1, 2)
    marker: dict[str, Any] = {"color": COLORS[state], "marker": MARKERS[state], "markersize": 4}
    axes.plot(ends[:, 0], ends[:, 1], linestyle="none", alpha=2 * alpha, **marker)
    axes.plot([], [], label=f"{STATE_WORDS[state]} ({len(trials)})", **marker)


def _finishing_order(trial: FrozenTrial) -> tuple[float, int]:
    finished = trial.datetime_complete
    return finished.timestamp() if finished else math.inf, trial.number


def _mark_failures(axes: Axes, ordered: Sequence[FrozenTrial]) -> None:
    """Mark the failed trials, which have no value, along the lower edge."""
    places = [place for place, trial in enumerate(ordered) if trial.state == TrialState.FAIL]
    if places:
        axes.plot(
            places,
            [0.03] * len(places),
            transform=axes.get_xaxis_transform(),
            linestyle="none",
            marker="x",
            markersize=6 if len(ordered) <= MANY_TRIALS else 3,
            color=COLORS[TrialState.FAIL],
            label=f"failed, no value ({len(places)})",
        )


def _draw_incumbent(axes: Axes, ordered: Sequence[FrozenTrial], objective: Objective) -> None:
    """Draw the best value so far, from the first trial that counts to the last finished one.

    Trials count that are complete and satisfy the constraints.
    """
    best, found, steps = objective.worst, None, []
    for place, trial in enumerate(ordered):
        counts = trial.state == TrialState.COMPLETE and keeps_constraints(trial)
        if counts and style.has_value(trial) and objective.better(trial.values[0], best):
            best, found = trial.values[0], (place, trial)
        if found:
            steps.append((place, best))
    places, values = [step[0] for step in steps], [step[1] for step in steps]
    axes.step(places, values, where="post", color=BEST_COLOR, label="best so far")
    if found:
        place, trial = found
        label = f"best (trial {trial.number}): {best:.5g}"
        axes.plot(place, best, "*", color=BEST_COLOR, markersize=15, mec="white", label=label)
        axes.lines[-1].set_zorder(4)
