"""The gate that a new model has to pass to become the champion. docs/promotion.md has the rule."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """A new model and a rival on the same images.

    Attributes:
        rival: What the rival is called: the champion, or an earlier one.
        images: How many.
        candidate_correct: How many the new model gets right.
        rival_correct: How many the rival gets right.
        candidate_only: How many only the new model gets right.
        rival_only: How many only the rival gets right.
        p: The p-value of McNemar's exact test.
    """

    rival: str
    images: int
    candidate_correct: int
    rival_correct: int
    candidate_only: int
    rival_only: int
    p: float

    @property
    def as_good(self) -> bool:
        """Whether the new model gets at least as many images right."""
        return self.candidate_correct >= self.rival_correct

    @property
    def may_be_chance(self) -> bool:
        """Whether the new model is as good, or not significantly worse."""
        return self.as_good or self.p >= SIGNIFICANCE

    @property
    def summary(self) -> str:
        """The comparison in one line."""
        p = f"= {self.p:.2g}" if self.p >= 0.0001 else "< 0.0001"
        return (
            f"{self.candidate_correct / self.images:.2%} of {self.images:,} test images correct, "
            f"{self.rival} {self.rival_correct / self.images:.2%}; only the new model is right on "
            f"{self.candidate_only}, only the other on {self.rival_only}: McNemar's exact p {p}"
        )


def passes(champion: Comparison, best: Comparison) -> bool:
    """Return whether a new model may become the champion.

    It may if it gets at least as many images right as the champion, or if it is not significantly
    worse than both the champion and the best champion so far. The second comparison is there
    because many small steps down, none of them significant, add up.

    Args:
        champion: The comparison with the present champion.
        best: The comparison with the best champion so far.
    """
    return champion.as_good or (champion.may_be_chance and best.may_be_chance)


def compare(rival: str, candidate: NDArray[np.bool_], other: NDArray[np.bool_]) -> Comparison:
    """Compare two models by the images that they get right.

    Args:
        rival: What the rival is called.
        candidate: Which images the new model gets right, of shape (n,).
        other: Which of the same images the rival gets right, of shape (n,).
    """
    assert candidate.shape == other.shape
    candidate_only = int(np.sum(candidate & ~other))
    rival_only = int(np.sum(other & ~candidate))
    return Comparison(
        rival=rival,
        images=len(candidate),
        candidate_correct=int(candidate.sum()),
        rival_correct=int(other.sum()),
        candidate_only=candidate_only,
        rival_only=rival_only,
        p=mcnemar(candidate_only, rival_only),
    )


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    If both models were equally good, each image that only one of them gets right would be either's
    with probability 1/2. Source: Q. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages" (1947), in its binomial form.

    Args:
        first_only: How many images only the first model gets right.
        second_only: How many images only the second model gets right.
    """
    if first_only + second_only == 0:
        return 1.0
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)
