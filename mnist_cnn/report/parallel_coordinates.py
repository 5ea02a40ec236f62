"""The parallel coordinates: each trial as a line through its hyperparameters."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BEST_COLOR
from mnist_cnn.objectives import Objective
from mnist_cnn.report.parameter_axis import ParameterAxis

SPREAD = 0.02  # lines that share a choice are spread this far above and below it

Line = NDArray[np.float64]  # points of shape (n, 2)


def parallel_coordinates(
    trials: Sequence[FrozenTrial], objective: Objective, parameters: Sequence[ParameterAxis]
) -> Figure:
    """Plot each complete trial as a line through its hyperparameters, coloured by its value.

    The line is broken where a trial does not have a hyperparameter. Stopped trials are grey: their
    values are of other epochs.

    Args:
        trials: The trials of the study.
        objective: The objective that gives the colours.
        parameters: The hyperparameters, from left to right.
    """
    complete = style.complete(trials, objective)
    title = f"Parallel coordinates of complete trials ({len(complete)}), by {objective.metric}"
    figure, axes = style.new_figure(title, 5.4)
    _draw_rails(axes, parameters, complete)
    _draw_stopped(axes, trials, parameters)
    colors = ScalarMappable(_norm(complete, objective), _darker_is_better(objective))
    _draw_complete(axes, complete, parameters, colors)
    if best := style.best(trials, objective):
        _draw_best(axes, best, parameters)
    figure.colorbar(
        colors,
        ax=axes,
        label=style.with_unit(objective.metric),
        extend=_extend(complete, objective),
        pad=0.03,
    )
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_rails(
    axes: Axes, parameters: Sequence[ParameterAxis], complete: Sequence[FrozenTrial]
) -> None:
    """Draw a vertical line for each hyperparameter, with its ticks, and its name below."""
    names = []
    for x, parameter in enumerate(parameters):
        axes.plot([x, x], [0, 1], color="black", linewidth=1, zorder=3)
        for y, label in parameter.ticks:
            axes.plot([x - 0.03, x], [y, y], color="black", linewidth=0.8, zorder=3)
            axes.text(
                x - 0.07,
                y,
                label,
                ha="right",
                va="center",
                fontsize=9,
                zorder=6,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )
        having = sum(trial.number in parameter.positions for trial in complete)
        only = f"\n(in {having} of {len(complete)})" if having < len(complete) else ""
        names.append(style.wrapped(parameter.name, 14) + only)
    axes.set_xticks(range(len(parameters)), names, fontsize=8.5)
    axes.set_yticks([])
    axes.set_xlim(-0.6, len(parameters) - 0.8)
    axes.set_ylim(-0.04, 1.04)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _lines(
    trial: FrozenTrial, parameters: Sequence[ParameterAxis], offset: float
) -> Iterator[Line]:
    """Yield the pieces of a trial's line, which is broken where it lacks a hyperparameter."""
    piece: list[tuple[float, float]] = []
    for x, parameter in enumerate(parameters):
        y = parameter.positions.get(trial.number)
        if y is not None:
            piece.append((x, y + (offset if parameter.discrete else 0)))
        elif piece:
            yield np.array(piece)
            piece = []
    if piece:
        yield np.array(piece)


def _draw_stopped(
    axes: Axes, trials: Sequence[FrozenTrial], parameters: Sequence[ParameterAxis]
) -> None:
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    lines = [line for trial in stopped for line in _lines(trial, parameters, 0)]
    label = f"stopped ({len(stopped)})" if stopped else "_"
    axes.add_collection(LineCollection(lines, colors="0.85", linewidths=0.7, zorder=1, label=label))


def _draw_complete(
    axes: Axes,
    complete: Sequence[FrozenTrial],
    parameters: Sequence[ParameterAxis],
    colors: ScalarMappable,
) -> None:
    """Draw the complete trials, the best values last, spread out where they share a choice."""
    lines, values = [], []
    for rank, trial in enumerate(complete):
        offset = SPREAD * (2 * (rank + 0.5) / len(complete) - 1)
        pieces = list(_lines(trial, parameters, offset))
        lines += pieces
        values += [trial.values[0]] * len(pieces)
    opacity = min(0.85, max(0.15, 60 / (len(complete) + 1)))
    shades = colors.to_rgba(np.array(values), alpha=opacity)
    axes.add_collection(LineCollection(lines, colors=shades, linewidths=1.3, zorder=2))
    # A piece of one point is not a line.
    single = [index for index, line in enumerate(lines) if len(line) == 1]
    if single:
        points = np.concatenate([lines[index] for index in single])
        axes.scatter(points[:, 0], points[:, 1], s=12, c=shades[single], zorder=2)


def _draw_best(axes: Axes, best: FrozenTrial, parameters: Sequence[ParameterAxis]) -> None:
    label = f"best (trial {best.number}): {best.values[0]:.5g}"
    for line in _lines(best, parameters, 0):
        axes.plot(
            *line.T,
            color=BEST_COLOR,
            linewidth=2.5,
            marker="o",
            markersize=5,
            zorder=5,
            label=label,
            path_effects=[withStroke(linewidth=4.5, foreground="white")],
        )
        label = "_"  # the legend names it once


def _darker_is_better(objective: Objective) -> Colormap:
    """Return viridis without its yellow, which is hard to see on white."""
    colors = colormaps["viridis"](np.linspace(0, 0.92, 256))
    return ListedColormap(colors[::-1] if objective.direction == "maximize" else colors)


def _norm(complete: Sequence[FrozenTrial], objective: Objective) -> Normalize:
    low, high = style.range_of_best([trial.values[0] for trial in complete], objective)
    return Normalize(low, high) if low < high else Normalize(low - 0.01, high + 0.01)


def _extend(complete: Sequence[FrozenTrial], objective: Objective) -> str:
    """Return at which end the colour bar also stands for values beyond it."""
    low, high = style.range_of_best([trial.values[0] for trial in complete], objective)
    if all(low <= trial.values[0] <= high for trial in complete):
        return "neither"
    return "min" if objective.direction == "maximize" else "max"
