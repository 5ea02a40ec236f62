"""The picture of one training."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mnist_cnn import chart


def curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Accuracy and loss of one training by epoch, on the training and the validation images.

    history: the metrics of each epoch; those that a training does not have are left out.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = range(1, len(history) + 1)
    for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for name, label, color, marker in (
            (metric, "training", chart.BLUE, "o"),
            (f"val_{metric}", "validation", chart.ORANGE, "s"),
        ):
            if history and name in history[0]:
                values = [metrics[name] for metrics in history]
                axes.plot(epochs, values, color=color, marker=marker, markersize=5, label=label)
        chart.label_axes(axes, "epoch", chart.with_unit(metric))
        if axes.lines:
            axes.legend()
    return figure
