"""The pictures. Each function returns a Matplotlib figure with a title, axes and units."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Objective

COLORS = {TrialState.COMPLETE: "tab:blue", TrialState.PRUNED: "tab:orange"}


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG of twice the screen's resolution."""
    figure.savefig(path, dpi=144)


def curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Accuracy and loss of one training by epoch, on the training and the validation images.

    history: the metrics of each epoch; those that a training does not have are left out.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = range(1, len(history) + 1)
    for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if history and name in history[0]:
                axes.plot(epochs, [m[name] for m in history], marker="o", label=label)
        _label(axes, "epoch", metric)
        if axes.lines:
            axes.legend()
    return figure


def optimisation_history(trials: Sequence[FrozenTrial], objective: Objective) -> Figure:
    """Each trial's value by its number, and the best value so far."""
    figure, axes = _figure("Optimisation history")
    _limit_to_the_best(axes, trials, objective)
    for state, color in COLORS.items():
        some = [t for t in trials if t.state == state and t.values]
        axes.scatter(
            [t.number for t in some],
            [t.values[0] for t in some],
            color=color,
            label=f"{state.name.lower()} ({len(some)})",
        )
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    best = objective.worst
    incumbent = []
    for trial in complete:
        best = trial.values[0] if objective.better(trial.values[0], best) else best
        incumbent.append(best)
    axes.step(
        [t.number for t in complete], incumbent, where="post", color="tab:red", label="best so far"
    )
    _label(axes, "trial", objective.metric)
    axes.legend()
    return figure


def importances(values: Mapping[str, float]) -> Figure:
    """Share of each hyperparameter in the differences between trials, the greatest on top."""
    figure, axes = _figure("Hyperparameter importances")
    names = list(values)[::-1]
    bars = axes.barh(names, [values[name] for name in names])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.margins(x=0.1)
    axes.set_xlabel("importance (PED-ANOVA, shares of 1)")
    return figure


def learning_curves(trials: Sequence[FrozenTrial], objective: Objective) -> Figure:
    """The objective of every trial by epoch; pruned trials end early, the best is on top."""
    figure, axes = _figure("Learning curves of all trials")
    _limit_to_the_best(axes, trials, objective)
    shown = [t for t in trials if t.intermediate_values and t.state in COLORS]
    best = _best(shown, objective)
    for trial in shown:
        epochs, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        chosen = trial is best
        axes.plot(
            epochs,
            values,
            marker="o",
            markersize=3,
            color="tab:red" if chosen else COLORS[trial.state],
            alpha=1.0 if chosen else 0.45,
            linewidth=2 if chosen else 1,
            zorder=3 if chosen else 2,
        )
    for label, color in (("best", "tab:red"), ("complete", "tab:blue"), ("pruned", "tab:orange")):
        axes.plot([], [], color=color, label=label)
    _label(axes, "epoch", objective.metric)
    axes.legend()
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def _best(trials: Sequence[FrozenTrial], objective: Objective) -> FrozenTrial | None:
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    sign = 1 if objective.direction == "maximize" else -1
    return max(complete, key=lambda t: sign * t.values[0], default=None)


def _limit_to_the_best(axes: Axes, trials: Sequence[FrozenTrial], objective: Objective) -> None:
    """Cut off hopeless values, which would press all that matters into one line."""
    values = sorted(
        value
        for trial in trials
        for value in [*trial.intermediate_values.values(), *(trial.values or [])]
        if value == value
    )
    if len(values) < 8:
        return
    if objective.direction == "maximize":
        low, high = values[len(values) // 4], values[-1]
    else:
        low, high = values[0], values[3 * len(values) // 4]
    margin = 0.08 * (high - low) or 0.01
    axes.set_ylim(low - margin, high + margin)
