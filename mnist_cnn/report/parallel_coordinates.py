"""The pictures of a study's hyperparameters. Each function returns a Matplotlib figure."""

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
from mnist_cnn.charts.style import BEST_COLOR, COLORS, MARKERS
from mnist_cnn.experiment import Objective
from mnist_cnn.report.parameter_axis import ParameterAxis

COLUMNS = 4  # of the grid of slices
FEW = 300  # trials, each a mark of its own; of more, one sees where they are dense
SPREAD = 0.02  # trials that share a choice lie so far to both sides of it

Line = NDArray[np.float64]


def parallel_coordinates(
    trials: Sequence[FrozenTrial], objective: Objective, parameters: Sequence[ParameterAxis]
) -> Figure:
    """Each complete trial as a line through its hyperparameters, coloured by its value.

    The line is interrupted where a trial does not have a parameter. Pruned trials are grey.
    """
    complete = style.complete(trials, objective)
    title = f"Parallel coordinates of complete trials ({len(complete)}), by {objective.metric}"
    figure, axes = style.new_figure(title, 5.4)
    _rails(axes, parameters, complete)
    _background(axes, trials, parameters)
    colors = ScalarMappable(_norm(complete, objective), _darker_is_better(objective))
    _foreground(axes, complete, parameters, colors)
    _best_line(axes, complete, parameters)
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


def slices(
    trials: Sequence[FrozenTrial], objective: Objective, parameters: Sequence[ParameterAxis]
) -> Figure:
    """The value of each trial by each hyperparameter; pruned trials with their last value."""
    rows = -(-len(parameters) // COLUMNS)
    figure = Figure(figsize=(9, 0.9 + 2.5 * rows), layout="constrained")
    figure.suptitle(f"{objective.metric} by hyperparameter")
    columns = min(COLUMNS, len(parameters))
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    drawn = [trial for trial in trials if trial.state in style.JUDGED and style.has_value(trial)]
    best = next(reversed(style.complete(trials, objective)), None)
    for axes, parameter in zip(grid, parameters, strict=False):
        _slice(axes, drawn, best, parameter)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(style.wrapped(style.with_unit(objective.metric), 24))
    for axes in grid[len(parameters) :]:
        axes.axis("off")
    style.limit_to_the_best(grid[0], [trial.values[0] for trial in drawn], objective)
    handles, labels = grid[0].get_legend_handles_labels()
    scale = 1 if len(drawn) <= FEW else 3
    figure.legend(handles, labels, loc="outside lower center", ncols=3, markerscale=scale)
    return figure


def _slice(
    axes: Axes, drawn: Sequence[FrozenTrial], best: FrozenTrial | None, parameter: ParameterAxis
) -> None:
    # Always the same spread, so that a picture drawn again is the same.
    spread = np.random.default_rng(0).uniform(-SPREAD, SPREAD, len(drawn))
    spread *= 2 if parameter.discrete else 0
    at = {
        trial.number: parameter.places[trial.number] + offset
        for trial, offset in zip(drawn, spread, strict=True)
        if trial.number in parameter.places
    }
    for state in (TrialState.PRUNED, TrialState.COMPLETE):
        some = [trial for trial in drawn if trial.state == state and trial.number in at]
        axes.scatter(
            [at[trial.number] for trial in some],
            [trial.values[0] for trial in some],
            s=16 if len(drawn) <= FEW else 4,
            color=COLORS[state],
            marker=MARKERS[state],
            alpha=0.75 if len(drawn) <= FEW else 0.4,
            linewidths=0,
            label=state.name.lower(),
        )
    if best is not None:
        here = [(at[best.number], best.values[0])] if best.number in at else []
        x, y = zip(*here, strict=True) if here else ((), ())
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
    places, labels = zip(*parameter.ticks, strict=True)
    crowded = sum(map(len, labels)) + 2 * len(labels) > 28
    axes.set_xticks(
        places,
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


def _rails(
    axes: Axes, parameters: Sequence[ParameterAxis], complete: Sequence[FrozenTrial]
) -> None:
    """An upright for each parameter, with its ticks, and its name below."""
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
        having = sum(trial.number in parameter.places for trial in complete)
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
    """The pieces of the trial's line, between the parameters that it does not have."""
    piece: list[tuple[float, float]] = []
    for x, parameter in enumerate(parameters):
        y = parameter.places.get(trial.number)
        if y is not None:
            piece.append((x, y + (offset if parameter.discrete else 0)))
        elif piece:
            yield np.array(piece)
            piece = []
    if piece:
        yield np.array(piece)


def _background(
    axes: Axes, trials: Sequence[FrozenTrial], parameters: Sequence[ParameterAxis]
) -> None:
    """The pruned trials, without a colour: their values are of other epochs."""
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    lines = [line for trial in pruned for line in _lines(trial, parameters, 0)]
    label = f"pruned ({len(pruned)})" if pruned else "_"
    axes.add_collection(LineCollection(lines, colors="0.85", linewidths=0.7, zorder=1, label=label))


def _foreground(
    axes: Axes,
    complete: Sequence[FrozenTrial],
    parameters: Sequence[ParameterAxis],
    colors: ScalarMappable,
) -> None:
    """The complete trials, the better the later drawn, fanned out where they share a choice."""
    lines, shades = [], []
    for rank, trial in enumerate(complete):
        offset = SPREAD * (2 * (rank + 0.5) / len(complete) - 1)
        pieces = list(_lines(trial, parameters, offset))
        lines += pieces
        shades += [trial.values[0]] * len(pieces)
    shade = colors.to_rgba(np.array(shades), alpha=min(0.85, max(0.15, 60 / (len(complete) + 1))))
    axes.add_collection(LineCollection(lines, colors=shade, linewidths=1.3, zorder=2))
    # A piece of one point, with neither neighbour, is no line.
    alone = [n for n, line in enumerate(lines) if len(line) == 1]
    if alone:
        points = np.concatenate([lines[n] for n in alone])
        axes.scatter(points[:, 0], points[:, 1], s=12, c=shade[alone], zorder=2)


def _best_line(
    axes: Axes, complete: Sequence[FrozenTrial], parameters: Sequence[ParameterAxis]
) -> None:
    for best in complete[-1:]:
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
    """Viridis without its yellow, which is lost on white."""
    colors = colormaps["viridis"](np.linspace(0, 0.92, 256))
    return ListedColormap(colors[::-1] if objective.direction == "maximize" else colors)


def _norm(complete: Sequence[FrozenTrial], objective: Objective) -> Normalize:
    low, high = style.range_of_the_best([trial.values[0] for trial in complete], objective)
    return Normalize(low, high) if low < high else Normalize(low - 0.01, high + 0.01)


def _extend(complete: Sequence[FrozenTrial], objective: Objective) -> str:
    """At which end the colour bar stands for values beyond it too."""
    low, high = style.range_of_the_best([trial.values[0] for trial in complete], objective)
    outside = any(not low <= trial.values[0] <= high for trial in complete)
    return ("min" if objective.direction == "maximize" else "max") if outside else "neither"
