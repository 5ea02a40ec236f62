"""The plot of one run: accuracy and loss by epoch."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_cnn.charts import style
from mnist_cnn.objectives import Maximize, Minimize, Objective

History = Sequence[Mapping[str, float]]

LONG_TRAINING = 16  # epochs; a longer run gets smaller markers


def curves(history: History, title: str) -> Figure:
    """Plot the accuracy and the loss of a run, on training and validation images.

    Args:
        history: The metrics of each epoch. Missing values are left out. In a long run the worst
            epochs are cut off, because all others would look alike beside them.
        title: The title of the figure.

    Returns:
        A figure with two axes: accuracy, then loss.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    accuracy, loss = figure.subplots(1, 2)
    _plot_metric(accuracy, history, Maximize("accuracy"))
    _plot_metric(loss, history, Minimize("loss"))
    return figure


def _plot_metric(axes: Axes, history: History, objective: Objective) -> None:
    metric = objective.metric
    drawn: list[float] = []
    for name, label, color, marker in (
        (metric, "training", style.BLUE, "o"),
        (f"val_{metric}", "validation", style.ORANGE, "s"),
    ):
        epochs = [n for n, metrics in enumerate(history, start=1) if name in metrics]
        values = [history[epoch - 1][name] for epoch in epochs]
        if values:
            size = 5 if len(history) <= LONG_TRAINING else 3
            axes.plot(epochs, values, color=color, marker=marker, markersize=size, label=label)
            drawn += [value for value in values if math.isfinite(value)]
    style.label_axes(axes, "epoch", style.with_unit(metric))
    if axes.lines:
        style.limit_to_best(axes, drawn, objective)
        axes.legend()
