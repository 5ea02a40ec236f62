"""How good a classifier's probabilities are: plain numbers from plain arrays."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.report.text import counted

BINS = 15  # of the calibration error, as in Guo et al. 2017
MIN_PROBABILITY = 1e-7  # Keras clips to it before it takes the logarithm


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class.

    Attributes:
        label: The class's index.
        images: How many images are of the class.
        precision: The share of correct predictions of this class, in [0, 1]; None if it was never
            predicted.
        recall: The share of its images that were recognised, in [0, 1]; None if there are none.
    """

    label: int
    images: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one interval of the calibration.

    Attributes:
        images: How many.
        confidence: The mean of the greatest probability, in [0, 1]; NaN without images.
        accuracy: The share of correct predictions, in [0, 1]; NaN without images.
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of a model on some images.

    Attributes:
        images: How many.
        accuracy: The share of correct predictions, in [0, 1].
        accuracy_low: The lower end of its 95 % interval.
        accuracy_high: The upper end of its 95 % interval.
        loss: The mean cross-entropy in nats.
        calibration_error: The expected difference of confidence and accuracy, in [0, 1].
        classes: The scores of each class, by its index.
    """

    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float
    calibration_error: float
    classes: tuple[ClassScores, ...]

    @property
    def summary(self) -> str:
        """The accuracy, its interval and the loss in one line."""
        return (
            f"accuracy {self.accuracy:.2%} of {counted(self.images, 'image')}, 95 % interval "
            f"{self.accuracy_low:.2%} to {self.accuracy_high:.2%}, loss {self.loss:.4f} nats"
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        scores: On the images.
        parameters: How many weights the model has.
        single_image_ms: The median time in milliseconds to predict one image.
        batch_ms: The median time in milliseconds to predict a batch.
        batch_images: The size of that batch.
        correct: Which images were classified correctly; of shape (n,).
        images_sha256: Of the images and labels themselves: data sets that differ in their training
            part may have the same test images.
        warnings: What is odd, one line each.
    """

    scores: Scores
    parameters: int
    single_image_ms: float
    batch_ms: float
    batch_images: int
    correct: NDArray[np.bool_]
    images_sha256: str
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the scores and latencies as plain values for JSON."""
        latency = {
            "parameters": self.parameters,
            "single_image_ms": self.single_image_ms,
            "batch_ms": self.batch_ms,
            "batch_images": self.batch_images,
        }
        return asdict(self.scores) | latency


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature that was chosen on validation images, and what it changes there.

    Attributes:
        images: How many.
        temperature: What the logits are divided by; above 1 it makes a model less confident.
        error_before: The expected calibration error without it, in [0, 1].
        error_after: The expected calibration error with it, in [0, 1].
        changed: For how many images the answer is another one. None of a single model.
    """

    images: int
    temperature: float
    error_before: float
    error_after: float
    changed: int

    @property
    def summary(self) -> str:
        """The temperature and the errors in one line."""
        text = (
            f"temperature {self.temperature:g}, chosen on {self.images:,} validation images; "
            f"expected calibration error there {self.error_before:.2%} before, "
            f"{self.error_after:.2%} after"
        )
        return f"{text}; other answers for {self.changed} of them" if self.changed else text


def score(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Scores:
    """Return the scores of predictions.

    Args:
        probabilities: Of shape (n, classes).
        labels: The actual classes, of shape (n,).
    """
    of_actual = probabilities[np.arange(len(labels)), labels]
    predicted = probabilities.argmax(axis=1)
    correct = int(np.sum(predicted == labels))
    low, high = wilson(correct, len(labels))
    return Scores(
        images=len(labels),
        accuracy=correct / len(labels),
        accuracy_low=low,
        accuracy_high=high,
        loss=float(np.mean(-np.log(np.maximum(of_actual, MIN_PROBABILITY)))),
        calibration_error=calibration_error(calibration(probabilities, labels)),
        classes=_scores_by_class(confusion(predicted, labels, probabilities.shape[1])),
    )


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference"
    (1927). Unlike a normal interval, it stays in [0, 1] and keeps its coverage near 1.
    """
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def calibration(
    probabilities: NDArray[np.float64], labels: NDArray[np.integer], bins: int = BINS
) -> list[Bin]:
    """Divide images into bins of equal width by their confidence.

    A confidence on an edge belongs to the lower bin, as in Guo et al. 2017.

    Args:
        probabilities: Of shape (n, classes).
        labels: The actual classes, of shape (n,).
        bins: How many.

    Returns:
        The bins from confidence 0 to 1; some may be empty.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # Not ceil(confidence * bins): as a float, 0.4 is above 6/15 and would go into the seventh bin.
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    members = [place == index for index in range(bins)]
    return [
        Bin(
            int(some.sum()),
            float(confidence[some].mean()) if some.any() else math.nan,
            float(correct[some].mean()) if some.any() else math.nan,
        )
        for some in members
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: |accuracy - confidence|, weighted by images.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
    """
    total = sum(item.images for item in bins)
    gaps = (item.images * abs(item.accuracy - item.confidence) for item in bins if item.images)
    return sum(gaps) / total


def confusion(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Return the confusion matrix, of shape (classes, classes): a row for each actual class."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def _scores_by_class(counts: NDArray[np.int64]) -> tuple[ClassScores, ...]:
    predicted, actual, correct = counts.sum(axis=0), counts.sum(axis=1), counts.diagonal()
    return tuple(
        ClassScores(
            label,
            int(actual[label]),
            float(correct[label] / predicted[label]) if predicted[label] else None,
            float(correct[label] / actual[label]) if actual[label] else None,
        )
        for label in range(len(counts))
    )
