"""The pictures of an evaluation. Each function returns a Matplotlib figure."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_cnn.charts.style import save
from mnist_cnn.evaluation.scores import calibration, calibration_error, confusion

ROWS, COLUMNS = 3, 5  # of a grid of images
MAX_CLASSES = 20  # with more, the counts in the confusion matrix could not be read

Labels = NDArray[np.integer]
Probabilities = NDArray[np.float64]


def draw(
    x: NDArray[np.float32], labels: Labels, probabilities: Probabilities, data: str, folder: Path
) -> None:
    """Write all pictures of a model's answers to `folder`.

    x: (n, height, width, channels) in [0, 1]; probabilities: (n, classes); data: name in titles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "confusion.png": confusion_matrix(labels, probabilities, data),
        "reliability.png": reliability(labels, probabilities, data),
        "predictions.png": predictions(x, labels, probabilities, data),
        "worst_mistakes.png": worst_mistakes(x, labels, probabilities, data),
    }
    for name, figure in pictures.items():
        save(figure, folder / name)


def confusion_matrix(labels: Labels, probabilities: Probabilities, data: str) -> Figure:
    """How often each class was taken for which; colour shows the share of the actual class."""
    classes = probabilities.shape[1]
    counts = confusion(probabilities.argmax(axis=1), labels, classes)
    mistakes = int(counts.sum() - counts.trace())
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"Confusion matrix on {data}: {mistakes} of {counts.sum():,} images wrong")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root lifts a single mistake in a thousand images out of the white.
    image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, label="share of the actual class")
    ticks = np.array([0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks).tolist(), labels=[f"{tick:.0%}" for tick in ticks])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
    if classes <= MAX_CLASSES:
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.3 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure


def reliability(labels: Labels, probabilities: Probabilities, data: str) -> Figure:
    """Accuracy by confidence beside the diagonal of a calibrated model, and how many images."""
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
    upper.set_ylabel("share of right answers")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.legend(loc="upper left")
    lower.bar(centres, [b.images for b in bins], width, edgecolor="white", color="tab:grey")
    lower.set_yscale("symlog", linthresh=1)
    lower.set_ylim(bottom=0)
    lower.set_xlabel(f"confidence (greatest probability), {len(bins)} bins")
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def predictions(
    x: NDArray[np.float32], labels: Labels, probabilities: Probabilities, data: str
) -> Figure:
    """The first images with the predicted and the actual class."""
    shown = np.arange(min(ROWS * COLUMNS, len(labels)))
    title = f"The first {len(shown)} images of {data}: predicted and actual class"
    return _grid(x, labels, probabilities, shown, title)


def worst_mistakes(
    x: NDArray[np.float32], labels: Labels, probabilities: Probabilities, data: str
) -> Figure:
    """The wrongly answered images to whose actual class the model gave least."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(probabilities[wrong, labels[wrong]], kind="stable")
    shown = wrong[order][: ROWS * COLUMNS]
    title = f"The {len(shown)} worst of {len(wrong)} mistakes on {data}"
    return _grid(x, labels, probabilities, shown, title if len(wrong) else f"No mistake on {data}")


def _grid(
    x: NDArray[np.float32],
    labels: Labels,
    probabilities: Probabilities,
    shown: NDArray[np.integer],
    title: str,
) -> Figure:
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    figure.suptitle(title)
    grid: list[Axes] = list(figure.subplots(ROWS, COLUMNS).flat)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    for axes, index in zip(grid, shown, strict=False):
        chances = probabilities[index]
        answer, actual = int(chances.argmax()), int(labels[index])
        _show(axes, x[index])
        mistaken = f" ({_percent(chances[actual])})" if answer != actual else ""
        axes.set_title(
            f"predicted {answer} ({_percent(chances[answer])})\nactual {actual}{mistaken}",
            fontsize=9,
            color="tab:red" if mistaken else "black",
        )
    figure.supxlabel(
        f"{x.shape[1]}x{x.shape[2]} pixels; in brackets the probability that the model gave; "
        "mistakes are red",
        fontsize=9,
    )
    return figure


def _show(axes: Axes, image: NDArray[np.float32]) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.85")
    if image.shape[-1] == 3:
        axes.imshow(image)
    else:
        axes.imshow(image.mean(axis=-1), cmap="gray_r", vmin=0, vmax=1)


def _percent(share: float) -> str:
    """A share in three places, never rounded up to certainty or down to impossibility."""
    if share >= 0.9995:
        return ">99.9 %"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "<0.1 %"
