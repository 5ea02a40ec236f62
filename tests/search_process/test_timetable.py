"""When the phases of a search must end, in made-up studies."""

import math
import time
from types import SimpleNamespace

import pytest

from mnist_cnn.search_process import timetable
from mnist_cnn.search_process.progress import CONFIRMING, EXPLORING
from mnist_cnn.search_process.timetable import Timetable
from mnist_cnn.study.budget import Budget


@pytest.fixture
def made(monkeypatch):
    """Makes a timetable of 690 s, a third of them for confirmations, whose rounds end so."""

    def make(rounds, seconds=690.0):
        monkeypatch.setattr(timetable.confirmation, "expected_rounds", lambda *given: rounds)
        now = time.monotonic()
        end = now + seconds
        budget = Budget(
            started=now, spent=0.0, confirmations_end=end, end=end, confirming=seconds / 3
        )
        return Timetable(None, budget, SimpleNamespace(count=2), 0), end

    return make


def test_the_deadline_of_the_trials_stays_once_confirmations_have_begun(made, monkeypatch):
    one, end = made([100.0, 200.0])
    monkeypatch.setattr(timetable.confirmation, "expected_rounds", lambda *given: [])
    one.update(CONFIRMING)
    assert end - one.trials_deadline == pytest.approx(200)
    one.update(EXPLORING)  # after an outage
    assert one.trials_deadline == end


@pytest.mark.parametrize(
    ("rounds", "reserved", "overtime"),
    [
        ([100.0, 200.0], 200, 200 / 3),
        ([150.0, 200.0], 200, 50),
        ([150.0], 150, 0),
        ([400.0], 230, 0),  # at most a third
        ([math.inf], 230, 0),  # nothing is complete
        ([], 0, 0),
    ],
)
def test_a_trial_may_take_of_the_confirmations_what_one_round_leaves(
    made, rounds, reserved, overtime
):
    one, end = made(rounds)
    assert end - one.trials_deadline == pytest.approx(reserved)
    assert one.overtime == pytest.approx(overtime)
    assert one.last_trial_ends(any_complete=True) == pytest.approx(end - reserved + overtime)
    assert one.last_trial_ends(any_complete=False) == pytest.approx(end)


def test_without_a_limit_nothing_ends(made):
    one, _ = made([100.0], math.inf)
    assert (one.trials_deadline, one.overtime) == (math.inf, 0.0)
    assert one.last_trial_ends(any_complete=True) == math.inf
