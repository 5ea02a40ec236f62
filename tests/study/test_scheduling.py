"""Scheduling: what an idle worker does next, in made-up studies."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

import pytest
from optuna.trial import FrozenTrial, TrialState
from studies import PLAN

from mnist_cnn.experiment import Screen
from mnist_cnn.study.chains import CONTINUES, FIRST, RUNG, continued
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.scheduling import next_trial
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.study.trials import TRAINED

EPOCHS = 10
SCREEN = Screen(rungs=(1, 4), one_of=3)


@pytest.fixture
def plain(storage):
    """A study without screening."""
    with open_study(PLAN, storage) as opened:
        yield opened.study


@pytest.fixture
def study(storage):
    """A study with two rungs."""
    with open_study(replace(PLAN, screen=SCREEN, epochs=EPOCHS), storage) as opened:
        yield opened.study


def take(study, wanted=99, seconds_left=inf, overtime=0.0):
    """What an idle worker does: "new", the number of the continued trial, or None."""
    trial = next_trial(study, wanted=wanted, seconds_left=seconds_left, overtime=overtime)
    if trial is None:
        return None
    before = continued(trial)
    return "new" if before is None else before


def add(study, score, rung=0, before=None, seconds=0.0, state=TrialState.PRUNED):
    """Add a trial that ended: stopped at its rung, unless another state is given."""
    began = datetime(2026, 1, 1)
    attributes = {} if before is None else {CONTINUES: before, FIRST: before, RUNG: rung}
    rungs = (0, *study.plan.screen.rungs, EPOCHS) if study.plan.screen else (0, EPOCHS)
    attributes[TRAINED] = {"epochs": rungs[rung + 1] - rungs[rung], "seconds": seconds}
    if state == TrialState.PRUNED:
        attributes[STOPPED] = {}
    study.trials.optuna_study.add_trial(
        FrozenTrial(
            number=-1,
            state=state,
            value=score if state == TrialState.COMPLETE else None,
            datetime_start=began,
            datetime_complete=began + timedelta(days=9),  # a search was away before it told Optuna
            params={},
            distributions={},
            user_attrs=attributes,
            system_attrs={},
            intermediate_values={rung + 1: score},
            trial_id=-1,
        )
    )


def end(study, score, state=TrialState.PRUNED):
    """Have the newest trial, which is running, end: stopped at its rung, or otherwise."""
    number = len(study.trials.all()) - 1
    if state == TrialState.PRUNED:
        study.trials.set_attribute(number, STOPPED, {})
        storage, trial_id = study.trials.storage, study.trials.get(number)._trial_id
        storage.set_trial_intermediate_value(trial_id, 1, score)
    values = [score] if state == TrialState.COMPLETE else None
    study.trials.optuna_study.tell(number, values, state=state)


def test_without_screening_new_configurations_begin_until_there_are_enough(plain):
    assert [take(plain, wanted=2) for _ in range(3)] == ["new", "new", None]
    end(plain, 0.5, TrialState.COMPLETE)
    assert take(plain, wanted=2) is None  # the other one still runs
    assert take(plain, wanted=3) == "new"


def test_without_screening_nothing_begins_that_would_take_too_long(plain):
    assert take(plain, seconds_left=1) == "new"  # nobody knows how long it takes
    for seconds in (90, 100, 900):
        add(plain, 0.5, state=TrialState.COMPLETE, seconds=seconds)
    assert take(plain, seconds_left=100) is None
    assert take(plain, seconds_left=90, overtime=11) == "new"


def test_without_screening_trials_begin_until_one_is_complete(plain):
    add(plain, 0.5, state=TrialState.FAIL, seconds=100)
    assert take(plain, seconds_left=-1) == "new"


def test_a_trial_that_is_among_the_best_is_continued_before_another_one_begins(study):
    for score in (0.1, 0.3):
        add(study, score)
        assert take(study) == "new"
        end(study, 0.0, TrialState.FAIL)
    add(study, 0.2)
    assert [take(study), take(study)] == [2, "new"]


def test_trials_counts_configurations_and_no_continuation(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score)
    add(study, 0.4, rung=1, before=2)
    assert study.tried() == 3
    assert [take(study, wanted=5) for _ in range(4)] == [3, "new", "new", None]
    assert study.tried() == 3  # a running one counts as one that is coming


def test_a_running_continuation_is_no_configuration_that_is_coming(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score)
    assert [take(study, wanted=4) for _ in range(3)] == [2, "new", None]


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.FAIL])
def test_a_configuration_was_tried_however_it_ended(study, state):
    add(study, 0.1, state=state)
    assert study.tried() == 1


# Out of time


@pytest.mark.parametrize(("seconds_left", "wanted"), [(51, "new"), (50, 1), (0, 1), (-5, 1)])
def test_nothing_new_begins_that_could_not_be_trained_in_full(study, seconds_left, wanted):
    for score, seconds in ((0.1, 3), (0.2, 5), (0.15, 90)):
        add(study, score, seconds=seconds)  # 5 seconds an epoch, the median
    add(study, 0.1, state=TrialState.FAIL, seconds=1000)
    study.trials.optuna_study.enqueue_trial({}, user_attrs={CONTINUES: 1, FIRST: 1, RUNG: 1})
    assert take(study) == 1  # the only one that is good enough
    assert take(study, seconds_left=seconds_left) == ("new" if wanted == "new" else 2)


def test_an_epoch_takes_as_long_as_in_the_trials_that_continued_others(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score, seconds=40)
    add(study, 0.3, rung=1, before=2, seconds=6)  # epochs 2 to 4
    assert [take(study, seconds_left=21) for _ in range(2)] == [3, "new"]
    assert take(study, seconds_left=20) == 1


def test_an_epoch_takes_as_long_as_in_the_trials_of_the_highest_rung(storage):
    plan = replace(PLAN, screen=Screen(rungs=(1, 4, 8), one_of=3), epochs=EPOCHS)
    with open_study(plan, storage) as opened:
        for score in (0.1, 0.2, 0.3):
            add(opened.study, score, seconds=40)
        add(opened.study, 0.3, rung=1, before=2, seconds=30)  # epochs 2 to 4
        add(opened.study, 0.3, rung=2, before=3, seconds=8)  # epochs 5 to 8
        assert [take(opened.study, seconds_left=21) for _ in range(2)] == [4, "new"]
        assert take(opened.study, seconds_left=20) != "new"


def test_as_many_begin_as_it_takes_to_continue_one_however_long_their_first_epoch_took(study):
    add(study, 0.1, seconds=90)
    assert [take(study, seconds_left=5) for _ in range(2)] == ["new", "new"]
    assert take(study, seconds_left=5) == 0
    assert take(study, seconds_left=0) is None


def test_out_of_time_all_stopped_trials_are_continued_the_highest_rung_first(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score, seconds=1)
    add(study, 0.05, rung=1, before=2, seconds=3)
    assert [take(study, seconds_left=1) for _ in range(4)] == [3, 1, 0, None]


def test_once_a_trial_is_complete_others_are_continued_only_if_they_can_complete(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score, seconds=5)  # the other nine epochs take 45 seconds
    assert take(study, seconds_left=1) == 2
    end(study, 0.4, TrialState.COMPLETE)
    add(study, 0.25, rung=1, before=1, seconds=6)  # the other six epochs take 12
    assert take(study, seconds_left=12) is None
    assert take(study, seconds_left=10, overtime=3) == 4
    assert take(study, seconds_left=15, overtime=30) is None
    assert take(study, seconds_left=15, overtime=31) == 0


def test_before_anything_has_stopped_there_is_time(study):
    assert take(study, seconds_left=0.1) == "new"


# The end


def test_if_no_trial_is_complete_the_best_is_trained_to_its_end(study):
    for score in (0.1, 0.2):
        add(study, score)
    for number, state in ((1, TrialState.PRUNED), (2, TrialState.COMPLETE)):
        assert take(study, wanted=2) == number
        assert take(study, wanted=2) is None  # one at a time
        end(study, 0.2, state)
    assert take(study, wanted=2) is None


def test_if_one_is_complete_others_are_only_continued_where_they_are_good(study):
    add(study, 0.9, rung=2, before=99, state=TrialState.COMPLETE)
    for score in (0.1, 0.2):
        add(study, score)
    assert take(study, wanted=2) is None
    add(study, 0.15)
    assert [take(study, wanted=3) for _ in range(2)] == [2, None]


def test_if_the_best_fails_the_next_best_is_tried(study):
    for score in (0.1, 0.2):
        add(study, score)
    assert take(study, wanted=2) == 1
    end(study, 0.0, TrialState.FAIL)
    assert take(study, wanted=2) == 0
    end(study, 0.0, TrialState.FAIL)
    assert take(study, wanted=2) is None


def test_while_a_trial_runs_that_may_be_complete_none_is_continued_for_want_of_one(study):
    add(study, 0.1)
    assert take(study, wanted=2) == "new"
    assert take(study, wanted=2) is None


def test_if_the_sampler_has_nothing_left_good_trials_are_continued_all_the_same(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score)
    assert [take(study, wanted=0) for _ in range(2)] == [2, None]


# What waits


def test_an_interrupted_trial_comes_before_a_continuation(study):
    assert take(study) == "new"
    for score in (0.1, 0.2, 0.3):
        add(study, score)
    study.trials.pause(0)
    assert next_trial(study, wanted=99, seconds_left=inf).number == 0
    assert take(study) == 3


def test_an_interrupted_continuation_goes_on_and_is_not_enqueued_twice(study):
    for score in (0.1, 0.2, 0.3):
        add(study, score)
    assert take(study) == 2
    study.trials.pause(3)
    assert next_trial(study, wanted=99, seconds_left=inf).number == 3
    assert [continued(trial) for trial in study.trials.all()] == [None, None, None, 2]


def test_baselines_come_first_and_even_late(study):
    add(study, 0.1, seconds=100)
    study.enqueue_baselines(99)
    taken = [next_trial(study, wanted=99, seconds_left=1).number for _ in PLAN.baselines]
    assert taken == [1, 2]
    assert take(study, seconds_left=1) == 0
