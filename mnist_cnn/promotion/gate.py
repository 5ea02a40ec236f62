"""The gate that a new model has to pass to become the champion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05

# The rule, in the words that the README quotes.
RULE = (
    "Both models answer the same test images. A new model passes if it gets at least as many right "
    "as the champion, or if it gets fewer right but McNemar's exact test (two-sided, on the images "
    f"that exactly one of the two gets right) gives p >= {SIGNIFICANCE}: the difference may be "
    "chance. It is refused if it is worse and p is below that."
)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    candidate_only, champion_only: images that only the one gets right; the rest says nothing
    about which of the two is better.
    p: chance of a division at least this uneven if both were equally good.
    """

    images: int
    candidate_right: int
    champion_right: int
    candidate_only: int
    champion_only: int
    p: float

    @property
    def passed(self) -> bool:
        """Whether the candidate may become the champion, by `RULE`."""
        return self.candidate_right >= self.champion_right or self.p >= SIGNIFICANCE

    @property
    def words(self) -> str:
        """The figures in one line."""
        return (
            f"{self.candidate_right / self.images:.2%} against the champion's "
            f"{self.champion_right / self.images:.2%} of {self.images:,} test images; "
            f"{self.candidate_only} only the new one gets right, {self.champion_only} only the "
            f"champion, McNemar's exact p = {self.p:.2g}"
        )


def compare(candidate: NDArray[np.bool_], champion: NDArray[np.bool_]) -> Comparison:
    """Compare two models by which images each gets right, both of shape (n,) in the same order."""
    assert candidate.shape == champion.shape
    candidate_only = int(np.sum(candidate & ~champion))
    champion_only = int(np.sum(champion & ~candidate))
    return Comparison(
        images=len(candidate),
        candidate_right=int(candidate.sum()),
        champion_right=int(champion.sum()),
        candidate_only=candidate_only,
        champion_only=champion_only,
        p=mcnemar(candidate_only, champion_only),
    )


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p of McNemar's exact test for the counts of discordant pairs.

    If both models were equally good, each discordant image would fall to one or the other as a coin
    does. Source: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages" (1947), in its binomial form.
    """
    if first_only + second_only == 0:
        return 1.0
    from scipy.stats import binomtest  # a second to import, so only where it computes

    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)
