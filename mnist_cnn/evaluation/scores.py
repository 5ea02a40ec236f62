"""How right a classifier's probabilities are: plain figures from plain arrays."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of the calibration error, as many as Guo et al. use


@dataclass(frozen=True)
class ClassScores:
    """One class's figures.

    images: how many are of the class. precision: share of right ones among those that were taken
    for it, recall: share of its images that were recognised; in [0, 1], None where there are none.
    """

    label: int
    images: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one interval of the calibration.

    confidence: mean of the greatest probability; accuracy: share of right answers; in [0, 1].
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of a model on some images.

    accuracy: share of right answers in [0, 1].
    accuracy_low, accuracy_high: ends of its 95 % interval.
    loss: mean cross-entropy in nats.
    calibration_error: expected difference of confidence and accuracy in [0, 1].
    """

    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float
    calibration_error: float
    classes: tuple[ClassScores, ...]

    @property
    def words(self) -> str:
        """The accuracy, its interval and the loss in one line."""
        return (
            f"accuracy {self.accuracy:.2%} of {self.images:,} images, 95 % interval "
            f"{self.accuracy_low:.2%} to {self.accuracy_high:.2%}, loss {self.loss:.4f} nats"
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that an evaluation of a model tells.

    parameters: how many weights the model has.
    single_image_ms, batch_ms: median time in milliseconds to answer one image, and `batch_images`.
    right: bool of shape (n,), which images were answered rightly.
    images_sha256: of the images and labels themselves; data sets that differ in their training part
    may have the same test images.
    """

    scores: Scores
    parameters: int
    single_image_ms: float
    batch_ms: float
    batch_images: int
    right: NDArray[np.bool_]
    images_sha256: str

    def figures(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        speed = {
            "parameters": self.parameters,
            "single_image_ms": self.single_image_ms,
            "batch_ms": self.batch_ms,
            "batch_images": self.batch_images,
        }
        return asdict(self.scores) | speed


def score(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Scores:
    """The figures of `probabilities`, of shape (n, classes), for images of classes `labels`."""
    given = probabilities[np.arange(len(labels)), labels]
    answers = probabilities.argmax(axis=1)
    right = int(np.sum(answers == labels))
    low, high = wilson(right, len(labels))
    return Scores(
        images=len(labels),
        accuracy=right / len(labels),
        accuracy_low=low,
        accuracy_high=high,
        loss=float(np.mean(-np.log(np.maximum(given, 1e-7)))),  # as Keras bounds it
        calibration_error=calibration_error(calibration(probabilities, labels)),
        classes=_by_class(confusion(answers, labels, probabilities.shape[1])),
    )


def wilson(right: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` in `images` were seen.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference"
    (1927). It stays in [0, 1] and keeps its promise near 1, where a normal one does not.
    """
    from scipy.stats import binomtest  # a second to import, so only where it computes

    interval = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def calibration(
    probabilities: NDArray[np.float64], labels: NDArray[np.integer], bins: int = BINS
) -> list[Bin]:
    """The images in `bins` intervals of confidence, equally wide from 0 to 1; some may be empty.

    A confidence on an edge belongs to the lower interval, as in Guo et al. 2017.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # Not ceil(confidence * bins), which puts 0.4, a hair above 6/15 as a float, into the seventh.
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    members = [place == index for index in range(bins)]
    return [
        Bin(
            int(some.sum()),
            float(confidence[some].mean()) if some.any() else math.nan,
            float(right[some].mean()) if some.any() else math.nan,
        )
        for some in members
    ]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error: the bins' |accuracy - confidence| weighted by their images.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
    """
    total = sum(item.images for item in bins)
    gaps = (item.images * abs(item.accuracy - item.confidence) for item in bins if item.images)
    return sum(gaps) / total


def confusion(
    answers: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Counts of shape (classes, classes): row the actual class, column the answer."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, answers), 1)
    return counts


def _by_class(counts: NDArray[np.int64]) -> tuple[ClassScores, ...]:
    taken, actual, right = counts.sum(axis=0), counts.sum(axis=1), counts.diagonal()
    return tuple(
        ClassScores(
            label,
            int(actual[label]),
            float(right[label] / taken[label]) if taken[label] else None,
            float(right[label] / actual[label]) if actual[label] else None,
        )
        for label in range(len(counts))
    )
