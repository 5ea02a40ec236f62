"""The slices: each trial's value by one hyperparameter at a time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BEST_COLOR, COLORS, MARKERS, SCORED
from mnist_cnn.objectives import Objective
from mnist_cnn.report.parameter_axis import ParameterAxis
from mnist_cnn.report.text import STATE_WORDS

COLUMNS = 4  # of the grid of slices
MANY_TRIALS = 300  # from here on, markers are small and pale, so that their density shows
SPREAD = 0.04  # trials that share a position are spread this far to both sides of it
CROWDED_CHARACTERS = 28  # tick labels that are longer together are rotated


def slices(
    trials: Sequence[FrozenTrial], objective: Objective, parameters: Sequence[ParameterAxis]
) -> Figure:
    """Plot the value of each trial by each hyperparameter; stopped trials with their last value.

    Args:
        trials: The trials of the study.
        objective: The objective that is plotted.
        parameters: The hyperparameters, at least one; each gets axes of its own.
    """
    rows = -(-len(parameters) // COLUMNS)
    columns = min(COLUMNS, len(parameters))
    figure = Figure(figsize=(9, 0.9 + 2.5 * rows), layout="constrained")
    figure.suptitle(f"{objective.metric} by hyperparameter")
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    drawn = [trial for trial in trials if trial.state in SCORED and style.has_value(trial)]
    best = style.best(trials, objective)
    for axes, parameter in zip(grid, parameters, strict=False):
        _draw_trials(axes, drawn, parameter)
        if best:
            _mark_best(axes, best, parameter, drawn)
        _style_axes(axes, parameter)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(style.wrapped(style.with_unit(objective.metric), 24))
    for axes in grid[len(parameters) :]:
        axes.axis("off")
    style.limit_to_best(grid[0], [trial.values[0] for trial in drawn], objective)
    handles, labels = grid[0].get_legend_handles_labels()
    scale = 1 if len(drawn) <= MANY_TRIALS else 3
    figure.legend(handles, labels, loc="outside lower center", ncols=3, markerscale=scale)
    return figure


def _positions(drawn: Sequence[FrozenTrial], parameter: ParameterAxis) -> dict[int, float]:
    """Return the position of each trial that has the hyperparameter, by the trial's number."""
    if not parameter.discrete:
        return dict(parameter.positions)
    # The same seed each time, so that the same plot is drawn again.
    offsets = np.random.default_rng(0).uniform(-SPREAD, SPREAD, len(drawn))
    return {
        trial.number: parameter.positions[trial.number] + float(offset)
        for trial, offset in zip(drawn, offsets, strict=True)
        if trial.number in parameter.positions
    }


def _draw_trials(axes: Axes, drawn: Sequence[FrozenTrial], parameter: ParameterAxis) -> None:
    positions = _positions(drawn, parameter)
    few = len(drawn) <= MANY_TRIALS
    for state in (TrialState.PRUNED, TrialState.COMPLETE):
        found = [trial for trial in drawn if trial.state == state and trial.number in positions]
        axes.scatter(
            [positions[trial.number] for trial in found],
            [trial.values[0] for trial in found],
            s=16 if few else 4,
            color=COLORS[state],
            marker=MARKERS[state],
            alpha=0.75 if few else 0.4,
            linewidths=0,
            label=STATE_WORDS[state],
        )


def _mark_best(
    axes: Axes, best: FrozenTrial, parameter: ParameterAxis, drawn: Sequence[FrozenTrial]
) -> None:
    """Mark the best trial. Without the hyperparameter, it is in the legend only."""
    positions = _positions(drawn, parameter)
    x, y = [], []
    if best.number in positions:
        x, y = [positions[best.number]], [best.values[0]]
    axes.plot(
        x,
        y,
        "*",
        color=BEST_COLOR,
        markersize=13,
        mec="white",
        label=f"best (trial {best.number})",
        zorder=4,
    )


def _style_axes(axes: Axes, parameter: ParameterAxis) -> None:
    positions, labels = zip(*parameter.ticks, strict=True)
    crowded = sum(map(len, labels)) + 2 * len(labels) > CROWDED_CHARACTERS
    axes.set_xticks(
        positions,
        labels,
        fontsize=8,
        rotation=45 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.1, 1.1)
    axes.set_xlabel(style.wrapped(parameter.name, 24), fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
