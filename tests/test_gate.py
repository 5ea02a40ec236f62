"""McNemar's exact test and the rule, against the definition and numbers worked out by hand."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_cnn.promotion.gate import RULE, SIGNIFICANCE, compare, mcnemar


def by_definition(first, second):
    """Twice the smaller tail of a fair coin, at most 1."""
    total, few = first + second, min(first, second)
    return min(Fraction(1), 2 * Fraction(sum(comb(total, k) for k in range(few + 1)), 2**total))


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_twice_the_smaller_tail_of_a_fair_coin(first, second):
    assert mcnemar(first, second) == pytest.approx(float(by_definition(first, second)))
    assert mcnemar(first, second) == mcnemar(second, first)


def test_p_by_hand():
    assert mcnemar(0, 0) == 1  # the two agree on every image
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 5) == pytest.approx(2 * 7 / 64)


def answers(both, candidate_only, champion_only, neither=1):
    parts = [(1, 1, both), (1, 0, candidate_only), (0, 1, champion_only), (0, 0, neither)]
    candidate = np.repeat([a for a, _, _ in parts], [n for _, _, n in parts]).astype(bool)
    champion = np.repeat([b for _, b, _ in parts], [n for _, _, n in parts]).astype(bool)
    return candidate, champion


@pytest.mark.parametrize(
    ("candidate_only", "champion_only", "passes"),
    [
        (30, 2, True),  # much better
        (0, 0, True),  # the same answers
        (7, 7, True),  # as many right
        (0, 5, True),  # worse, but p = 0.0625: it may be chance
        (0, 6, False),  # worse, p = 0.03125
        (400, 470, False),  # hardly worse, but on many images
        (400, 440, True),
    ],
)
def test_the_rule(candidate_only, champion_only, passes):
    comparison = compare(*answers(9000, candidate_only, champion_only))
    assert comparison.passed is passes
    assert (comparison.candidate_only, comparison.champion_only) == (candidate_only, champion_only)
    assert comparison.candidate_right == 9000 + candidate_only
    assert f"p = {comparison.p:.2g}" in comparison.words
    assert str(SIGNIFICANCE) in RULE


def test_only_images_that_one_of_the_two_gets_right_count():
    assert compare(*answers(10, 2, 9)).p == compare(*answers(9000, 2, 9, neither=500)).p
