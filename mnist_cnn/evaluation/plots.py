"""The plots and image grids of an evaluation. Each function returns a Matplotlib figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_cnn.charts.style import save
from mnist_cnn.datasets.images import OnDemand, scaled
from mnist_cnn.datasets.naming import short
from mnist_cnn.evaluation.scores import calibration, calibration_error, confusion

ROWS, COLUMNS = 3, 5  # of a grid of images
MAX_CLASSES = 20  # with more, the counts in the confusion matrix would be illegible

# float32 in [0, 1] of shape (n, height, width, channels); bytes if they are read on demand
Pixels = NDArray[np.float32] | OnDemand
Labels = NDArray[np.integer]  # class indices, of shape (n,)
Probabilities = NDArray[np.float64]  # of shape (n, classes)


def draw(
    x: Pixels,
    labels: Labels,
    probabilities: Probabilities,
    data: str,
    folder: Path,
    class_names: Sequence[str],
) -> None:
    """Write all figures of a model's predictions to a folder.

    Args:
        x: The images.
        labels: Their classes.
        probabilities: The predictions.
        data: The name of the images, for titles.
        folder: The folder. It is created if missing.
        class_names: The names of the classes, in the order of their indices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "confusion.png": confusion_matrix(labels, probabilities, data, class_names),
        "reliability.png": reliability(labels, probabilities, data),
        "predictions.png": predictions(x, labels, probabilities, data, class_names),
        "worst_mistakes.png": worst_mistakes(x, labels, probabilities, data, class_names),
    }
    for name, figure in figures.items():
        save(figure, folder / name)


def confusion_matrix(
    labels: Labels, probabilities: Probabilities, data: str, class_names: Sequence[str]
) -> Figure:
    """Plot how often each class was predicted as which; a colour is a share of the actual class."""
    classes = probabilities.shape[1]
    counts = confusion(probabilities.argmax(axis=1), labels, classes)
    mistakes = int(counts.sum() - counts.trace())
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"Confusion matrix on {data}: {mistakes} of {counts.sum():,} images wrong")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root makes one mistake in a thousand images visible.
    image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, label="share of the actual class")
    ticks = np.array([0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks).tolist(), labels=[f"{tick:.0%}" for tick in ticks])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
    if classes <= MAX_CLASSES:
        names = [short(name, 16) for name in class_names]
        turned = 90 if max(map(len, names)) > 3 else 0
        axes.set_xticks(range(classes), names, rotation=turned)
        axes.set_yticks(range(classes), names)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.3 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure


def reliability(labels: Labels, probabilities: Probabilities, data: str) -> Figure:
    """Plot accuracy by confidence, with the diagonal of a calibrated model, above a histogram."""
    bins = calibration(probabilities, labels)
    width = 1 / len(bins)
    centres = (np.arange(len(bins)) + 0.5) * width
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    error = calibration_error(bins)
    upper.set_title(f"Reliability on {data}: expected calibration error {error:.2%}")
    upper.bar(centres, [b.accuracy for b in bins], width, edgecolor="white", label="accuracy")
    upper.plot(
        [b.confidence for b in bins],
        [b.confidence for b in bins],
        marker="o",
        linestyle="none",
        color="tab:red",
        label="mean confidence",
    )
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    upper.set_ylabel("share of correct predictions")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.legend(loc="upper left")
    lower.bar(centres, [b.images for b in bins], width, edgecolor="white", color="tab:grey")
    lower.set_yscale("symlog", linthresh=1)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set_ylim(bottom=0)
    lower.set_xlabel(f"confidence (greatest probability), {len(bins)} bins")
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def predictions(
    x: Pixels,
    labels: Labels,
    probabilities: Probabilities,
    data: str,
    class_names: Sequence[str],
) -> Figure:
    """Show the first images with their predicted and actual class."""
    shown = np.arange(min(ROWS * COLUMNS, len(labels)))
    title = f"The first {len(shown)} images of {data}: predicted and actual class"
    return _grid(x, labels, probabilities, shown, title, class_names)


def worst_mistakes(
    x: Pixels,
    labels: Labels,
    probabilities: Probabilities,
    data: str,
    class_names: Sequence[str],
) -> Figure:
    """Show the mistakes in which the actual class got the lowest probability."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(probabilities[wrong, labels[wrong]], kind="stable")
    shown = wrong[order][: ROWS * COLUMNS]
    if not len(wrong):
        return _grid(x, labels, probabilities, shown, f"No mistake on {data}", class_names)
    title = f"The {len(shown)} worst of {len(wrong)} mistakes on {data}"
    return _grid(x, labels, probabilities, shown, title, class_names)


def _grid(
    x: Pixels,
    labels: Labels,
    probabilities: Probabilities,
    shown: NDArray[np.intp],
    title: str,
    class_names: Sequence[str],
) -> Figure:
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    figure.suptitle(title)
    grid: list[Axes] = list(figure.subplots(ROWS, COLUMNS).flat)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    for axes, index, picture in zip(grid, shown, scaled(x[shown]), strict=False):
        given = probabilities[index]
        predicted, actual = int(given.argmax()), int(labels[index])
        _show_image(axes, picture)
        names = [short(class_names[label], 20) for label in (predicted, actual)]
        text = f"predicted {names[0]} ({_percent(given[predicted])})\nactual {names[1]}"
        if predicted != actual:
            text += f" ({_percent(given[actual])})"
        color = "black" if predicted == actual else "tab:red"
        axes.set_title(text, fontsize=9, color=color)
    figure.supxlabel(
        f"{x.shape[1]}x{x.shape[2]} pixels; in brackets the predicted probability; mistakes are "
        "red",
        fontsize=9,
    )
    return figure


def _show_image(axes: Axes, image: NDArray[np.float32]) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.85")
    if image.shape[-1] == 3:
        axes.imshow(image)
    else:
        axes.imshow(image.mean(axis=-1), cmap="gray_r", vmin=0, vmax=1)


def _percent(share: float) -> str:
    """Format a share with one decimal; it is never rounded to 0 or 100 %."""
    if share >= 0.9995:
        return ">99.9 %"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "<0.1 %"
