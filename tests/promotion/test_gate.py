"""McNemar's exact test and the rule, against the definition and numbers calculated by hand."""

from fractions import Fraction
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import ROOT

from mnist_cnn.errors import UserError
from mnist_cnn.promotion.gate import SIGNIFICANCE, compare, mcnemar, passes
from mnist_cnn.promotion.rivals import Rivals
from mnist_cnn.registry import store
from mnist_cnn.registry.models import FilesGone
from mnist_cnn.workers.pool import CallLost


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
    ("candidate_only", "champion_only", "passing"),
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
def test_the_rule_where_the_champion_is_the_best_so_far(candidate_only, champion_only, passing):
    comparison = compare("the champion", *answers(9000, candidate_only, champion_only))
    assert passes(comparison, comparison) is passing
    assert (comparison.candidate_only, comparison.rival_only) == (candidate_only, champion_only)
    assert comparison.candidate_correct == 9000 + candidate_only
    assert comparison.rival_correct == 9000 + champion_only
    shown = f"p = {comparison.p:.2g}" if candidate_only != 30 else "p < 0.0001"
    assert comparison.summary.endswith(shown)


def test_the_documents_name_the_level_of_significance():
    assert f"p >= {SIGNIFICANCE} " in (ROOT / "docs/promotion.md").read_text()


def test_many_small_steps_down_do_not_add_up():
    """Each model loses five images that the one before gets right: p = 0.0625."""
    models = [np.arange(10_000) < 9_900 - 5 * step for step in range(20)]
    champion = best = models[0]
    taken = 0
    for model in models[1:]:
        if passes(compare("champion", model, champion), compare("best", model, best)):
            champion, taken = model, taken + 1
    assert taken == 1
    assert compare("best", champion, best).may_be_chance


def test_a_better_model_passes_though_the_best_so_far_was_better_still():
    """As after a forced promotion: an improvement of the champion is never refused."""
    best, forced, model = (np.arange(1000) < right for right in (990, 900, 950))
    assert passes(compare("champion", model, forced), compare("best", model, best))


def test_only_images_that_exactly_one_model_gets_right_count():
    few, many = answers(10, 2, 9), answers(9000, 2, 9, neither=500)
    assert compare("one", *few).p == compare("another", *many).p


@pytest.fixture
def decided(monkeypatch):
    """Compares a model, which is right on 940 of 1,000 images, with versions 1, 2 and so on.

    They are given with the best first, as how many they get right, or the error of the comparison.
    The last one is the champion.
    """

    def decide(*versions):
        known = [SimpleNamespace(version=str(n)) for n in range(1, len(versions) + 1)]
        model = np.arange(1000) < 940

        def compare_with(rivals, candidate, version, what):
            found = versions[int(version.version) - 1]
            if isinstance(found, Exception):
                raise found
            return compare(
                f"the {what} (version {version.version})", model, np.arange(1000) < found
            )

        monkeypatch.setattr(store, "versions_tested_on", lambda client, name, images: known)
        monkeypatch.setattr(Rivals, "_compare_with", compare_with)
        client = SimpleNamespace(get_model_version=lambda name, number: known[int(number) - 1])
        candidate = SimpleNamespace(evaluation=SimpleNamespace(images_sha256="0"))
        rivals = Rivals(client, None, SimpleNamespace(model_name="it"), "it", None)
        return rivals.compare(candidate, str(len(versions)))

    return decide


def test_a_version_whose_files_are_gone_is_skipped_and_named(decided):
    passed, said = decided(FilesGone("gone"), 950, 945)
    assert not passed
    assert "the best champion so far (version 2) 95.00%" in said
    assert said.endswith("; skipped, since the files are gone: version 1")
    passed, said = decided(FilesGone("gone"), FilesGone("gone"), 945)
    assert passed and said.endswith("the files are gone: version 1, 2")


@pytest.mark.parametrize("error", [CallLost("out of memory"), UserError("another file")])
def test_a_model_that_cannot_be_compared_with_the_best_does_not_pass(decided, error):
    passed, said = decided(error, 945)
    assert not passed
    assert said.endswith(f"the best champion so far, version 1, cannot be compared: {error}")
