"""The picture of one training."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mnist_cnn.charts import style
from mnist_cnn.experiment import Maximize, Minimize


def curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Accuracy and loss of one training by epoch, on the training and the validation images.

    history: the metrics of each epoch; those that a training does not have are left out. Where
    there are many, the first epochs are cut off, beside which the others would all look alike.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = range(1, len(history) + 1)
    objectives = (Maximize("accuracy"), Minimize("loss"))
    for axes, objective in zip(figure.subplots(1, 2), objectives, strict=True):
        metric, drawn = objective.metric, []
        for name, label, color, marker in (
            (metric, "training", style.BLUE, "o"),
            (f"val_{metric}", "validation", style.ORANGE, "s"),
        ):
            if history and name in history[0]:
                values = [metrics[name] for metrics in history]
                size = 5 if len(values) <= 16 else 3
                axes.plot(epochs, values, color=color, marker=marker, markersize=size, label=label)
                drawn += [value for value in values if math.isfinite(value)]
        style.label_axes(axes, "epoch", style.with_unit(metric))
        if axes.lines:
            style.limit_to_the_best(axes, drawn, objective)
            axes.legend()
    return figure
