"""The gate that a new model has to pass to become the champion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05

# The rule, in the words that the README quotes.
RULE = (
    "All models answer the same test images. A new model that gets at least as many right as the "
    "champion passes. One that gets fewer right passes only if that may be chance: McNemar's exact "
    "test (two-sided, on the images that exactly one of two models gets right) has to give "
    f"p >= {SIGNIFICANCE} against the champion, and against the best champion so far. The second "
    "comparison is there because many steps down, each of which may be chance, add up to one that "
    "is not."
)


@dataclass(frozen=True)
class Comparison:
    """A new model and a rival, the champion or an earlier one, on the same images.

    candidate_only, rival_only: images that only the one gets right; the rest says nothing about
    which of the two is better.
    p: chance of a division at least this uneven if both were equally good.
    """

    rival: str
    images: int
    candidate_right: int
    rival_right: int
    candidate_only: int
    rival_only: int
    p: float

    @property
    def as_good(self) -> bool:
        """Whether the new model gets at least as many images right."""
        return self.candidate_right >= self.rival_right

    @property
    def may_be_chance(self) -> bool:
        """Whether it is as good, or worse by no more than two equally good models may differ."""
        return self.as_good or self.p >= SIGNIFICANCE

    @property
    def words(self) -> str:
        """The figures in one line."""
        return (
            f"{self.candidate_right / self.images:.2%} of {self.images:,} test images, "
            f"{self.rival} {self.rival_right / self.images:.2%}; {self.candidate_only} only the "
            f"new one gets right, {self.rival_only} only that one: McNemar's exact p "
            f"{f'= {self.p:.2g}' if self.p >= 0.0001 else '< 0.0001'}"
        )


def passes(champion: Comparison, best: Comparison) -> bool:
    """Whether a new model may become the champion, by `RULE`.

    champion, best: how it compares with the present champion, and with the best one so far.
    """
    return champion.as_good or (champion.may_be_chance and best.may_be_chance)


def compare(rival: str, candidate: NDArray[np.bool_], other: NDArray[np.bool_]) -> Comparison:
    """Compare two models by which images each gets right, both of shape (n,) in the same order.

    rival: what the other one is called.
    """
    assert candidate.shape == other.shape
    candidate_only = int(np.sum(candidate & ~other))
    rival_only = int(np.sum(other & ~candidate))
    return Comparison(
        rival=rival,
        images=len(candidate),
        candidate_right=int(candidate.sum()),
        rival_right=int(other.sum()),
        candidate_only=candidate_only,
        rival_only=rival_only,
        p=mcnemar(candidate_only, rival_only),
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
