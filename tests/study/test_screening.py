"""Screening: which trials are continued, in made-up studies; test_search.py has a real one."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from mnist_cnn.experiment import Screen
from mnist_cnn.study.chains import (
    CONTINUES,
    FIRST,
    LOST,
    RUNG,
    configurations,
    continued,
    first_of,
    superseded,
)
from mnist_cnn.study.screening import COST, STOPPED, enqueue_next, last_epoch, unused

SCREEN = Screen(rungs=(2,), one_of=3)
LADDER = Screen(rungs=(1, 4, 12), one_of=2)
NAN = float("nan")


def stop(study, score):
    """Take the next trial and have it stop at its rung with this score. Return its number."""
    trial = study.ask()
    trial.report(0.5, 1)
    trial.report(score, 2 + trial.user_attrs.get(RUNG, 0))
    trial.set_user_attr(STOPPED, {"units": first_of(trial)})
    study.tell(trial, state=TrialState.PRUNED)
    return trial.number


def begin(study, *scores):
    for score in scores:
        stop(study, score)


def continuations(study):
    """The numbers of the trials that were continued, in this order."""
    found = [continued(trial) for trial in study.trials]
    return [number for number in found if number is not None]


def next_of(study, screen, **more):
    """The trial that is to be continued next; None if there is none. It is taken."""
    before = len(study.trials)
    enqueue_next(study, screen, **more)
    return continued(study.ask()) if len(study.trials) > before else None


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


@pytest.mark.parametrize(
    ("direction", "scores"),
    [("maximize", [0.7, 0.9, 0.8]), ("minimize", [0.3, 0.1, 0.2])],
)
def test_the_best_trial_is_continued_once_with_its_own_values(direction, scores):
    study = optuna.create_study(direction=direction)
    for number, score in enumerate(scores):
        assert continuations(study) == []
        assert stop(study, score) == number
        enqueue_next(study, SCREEN)
    enqueue_next(study, SCREEN)
    assert continuations(study) == [1]
    assert study.trials[3].state == TrialState.WAITING
    assert study.trials[3].system_attrs["fixed_params"] == {"units": 1}
    assert study.trials[3].user_attrs == {CONTINUES: 1, FIRST: 1, RUNG: 1}


@pytest.mark.parametrize("one_of", [2, 3, 4])
@pytest.mark.parametrize(("rung", "rounded"), [(0, math.floor), (1, math.ceil)])
def test_a_share_is_continued_rounded_up_above_the_first_rung(study, one_of, rung, rounded):
    taken = 0
    for reached in range(1, 10):
        study.add_trial(stopped(1 - 0.01 * reached, rung))
        while next_of(study, Screen(rungs=(1, 2), one_of=one_of)) is not None:
            taken += 1
        assert taken == rounded(reached / one_of)


def test_the_second_best_follows_when_there_are_twice_as_many(study):
    begin(study, 0.1, 0.7, 0.6, 0.2, 0.3, 0.4)
    for _ in range(5):
        enqueue_next(study, SCREEN)  # the first one waits until it is asked for
    assert continuations(study) == [1]
    first = study.ask()
    assert next_of(study, SCREEN) == 2
    assert next_of(study, SCREEN) is None
    assert unused(study, SCREEN) == [[1, 2, 5, 4, 3, 0]]
    study.tell(first, 0.7)
    assert unused(study, SCREEN) == [[2, 5, 4, 3, 0]]
    assert next_of(study, SCREEN) is None


def test_only_trials_that_stopped_with_a_score_are_counted(study):
    begin(study, NAN, 0.7, 0.6)
    running = study.ask()
    running.report(0.9, 2)
    running.set_user_attr(STOPPED, {})
    pruned = study.ask()  # by a pruner, before its rung
    pruned.report(0.9, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    silent = study.ask()
    silent.set_user_attr(STOPPED, {})
    study.tell(silent, state=TrialState.PRUNED)
    assert next_of(study, SCREEN) is None
    begin(study, 0.5)
    assert next_of(study, SCREEN) == 1


def test_a_score_that_is_no_number_is_never_continued(study):
    begin(study, NAN, float("inf"), NAN)
    assert next_of(study, SCREEN, anyway=True) is None


# Cost


def with_a_gain(direction, scores, later, costs):
    """A study at whose first rung trials stopped; the best one then had a score three epochs later.

    From epoch 1 to 4 the epochs double twice, so a doubling gained half of the difference.
    """
    study = optuna.create_study(direction=direction)
    for score, cost in zip(scores, costs, strict=True):
        study.add_trial(stopped(score, 0, cost))
    assert next_of(study, LADDER) == 0
    running = optuna.trial.Trial(study, study.trials[-1]._trial_id)
    running.report(later, 4)  # it still runs, but shows what epochs gain
    return study


@pytest.mark.parametrize(
    ("sign", "direction"), [(1, "maximize"), (-1, "minimize")], ids=["maximize", "minimize"]
)
@pytest.mark.parametrize(("worth", "following"), [(0.80, 2), (0.84, 1)])
def test_a_trial_loses_what_a_doubling_gains_for_each_doubling_of_its_cost(
    sign, direction, worth, following
):
    scores = [0.9, worth, 0.75, 0.5]  # the usual cost is 4, and a doubling gains 0.03
    study = with_a_gain(direction, [sign * score for score in scores], sign * 0.96, [4, 16, 4, 1])
    assert next_of(study, LADDER) == following
    assert next_of(study, LADDER) is None


def test_a_trial_that_costs_less_than_usual_wins_nothing(study):
    study = with_a_gain("maximize", [0.9, 0.8, 0.79, 0.5], 0.96, [4, 4, 1, 4])
    assert next_of(study, LADDER) == 1


def test_more_epochs_that_only_do_harm_do_not_reward_a_cost(study):
    study = with_a_gain("maximize", [0.9, 0.8, 0.81, 0.5], 0.7, [4, 64, 4, 4])
    assert next_of(study, LADDER) == 2


def test_what_epochs_gain_counts_from_the_rung_on_also_after_a_lost_trial(study):
    """The lost one gained 0.06 in a doubling, and the one that continues it in two: 0.045 each."""
    for score, cost in zip([0.9, 0.87, 0.8, 0.5], [4, 16, 4, 1], strict=True):
        study.add_trial(stopped(score, 0, cost))
    assert next_of(study, LADDER) == 0
    lost = optuna.trial.Trial(study, study.trials[-1]._trial_id)
    lost.report(0.96, 2)
    lost.set_user_attr("reason", LOST)
    study.tell(lost, state=TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={CONTINUES: lost.number, FIRST: 0, RUNG: 1})
    study.ask().report(0.96, 4)
    assert next_of(study, LADDER) == 2


@pytest.mark.parametrize("cost", [None, 0])
def test_a_trial_of_unknown_cost_is_compared_by_its_value(study, cost):
    study = with_a_gain("maximize", [0.9, 0.8, 0.79, 0.5], 0.96, [4, cost, 4, 4])
    assert next_of(study, LADDER) == 1


# Several rungs


def test_the_highest_rung_comes_first(study):
    begin(study, 0.1, 0.2, 0.3, 0.4)  # two of which may be continued
    for _ in range(3):
        enqueue_next(study, LADDER)
        stop(study, 0.5)
    assert continuations(study) == [3, 4, 5]
    enqueue_next(study, LADDER)
    assert stop(study, 0.6) == 7  # of trial 2, and the better one of two now
    assert next_of(study, LADDER) == 7
    assert next_of(study, LADDER) is None


def test_a_configuration_climbs_every_rung_in_trials_of_one_seed(study):
    begin(study, 0.1, 0.9)
    for rung, before in enumerate((1, 2, 3), start=1):
        enqueue_next(study, LADDER)
        trial = study.trials[-1]
        assert trial.user_attrs == {CONTINUES: before, FIRST: 1, RUNG: rung}
        assert stop(study, 0.9) == trial.number
    assert next_of(study, LADDER) is None


def test_a_rung_is_compared_with_all_that_reached_it_and_those_alone(study):
    for score in (0.1, 0.2, 0.3):
        study.add_trial(stopped(score, 1))
    begin(study, 0.8, 0.9)
    # Two of three at rung 1, although others have more; then one of two at rung 0.
    assert [next_of(study, LADDER) for _ in range(4)] == [2, 1, 4, None]
    study.add_trial(stopped(0.05, 1))
    assert next_of(study, LADDER) is None
    study.add_trial(stopped(0.05, 1))
    assert next_of(study, LADDER) == 0


def test_without_another_configuration_to_come_the_best_of_the_highest_rung_goes_on(study):
    begin(study, 0.1, 0.3, 0.2)
    assert next_of(study, SCREEN) == 1
    end(study, len(study.trials) - 1, 0.3, state=TrialState.COMPLETE)
    order = [next_of(study, SCREEN, anyway=True) for _ in range(3)]
    assert order == [2, 0, None]
    study.add_trial(stopped(0.05, 1))
    study.add_trial(stopped(0.09, 0))
    assert next_of(study, Screen(rungs=(1, 4), one_of=9), anyway=True) == 6  # of rung 1


def test_good_trials_of_a_lower_rung_come_before_others_of_a_higher_one(study):
    for score in (0.1, 0.05):
        study.add_trial(stopped(score, 1))
    begin(study, 0.8, 0.9)
    assert [next_of(study, LADDER, anyway=True) for _ in range(4)] == [0, 3, 1, 2]


def test_unused_trials_are_listed_by_rung_until_their_continuation_has_ended(study):
    begin(study, 0.2, 0.3, NAN, 0.1)
    assert unused(study, LADDER) == [[1, 0, 3], [], []]
    assert next_of(study, LADDER) == 1
    assert unused(study, LADDER) == [[1, 0, 3], [], []]
    end(study, 4, 0.4)
    assert unused(study, LADDER) == [[0, 3], [4], []]
    assert superseded(study.trials) == {1}


def test_a_sampler_sees_the_constraints_that_the_last_of_a_configuration_violates(study):
    trial = study.ask()
    trial.set_constraint("parameters at most 20", -3)
    trial.set_user_attr(STOPPED, {})
    trial.report(0.5, 2)
    study.tell(trial, state=TrialState.PRUNED)
    enqueue_next(study, SCREEN, anyway=True)
    last = study.ask()
    last.set_constraint("parameters at most 20", -3)
    last.set_constraint("val_accuracy at least 0.9", 0.2)
    study.tell(last, 0.7)
    (seen,) = configurations(study.trials)
    wanted = {"parameters at most 20": -3.0, "val_accuracy at least 0.9": 0.2}
    assert seen.constraints == wanted
    assert list(study.trials[0].constraints) == ["parameters at most 20"]  # nothing was written


def test_a_continuation_that_failed_is_not_repeated(study):
    begin(study, 0.1, 0.2)
    assert next_of(study, LADDER) == 1
    study.tell(2, state=TrialState.FAIL)
    assert next_of(study, LADDER) is None
    assert unused(study, LADDER) == [[0], [], []]


@pytest.mark.parametrize(
    ("screen", "rung", "epoch"), [(None, 0, 32), (LADDER, 0, 1), (LADDER, 2, 12), (LADDER, 3, 32)]
)
def test_a_trial_ends_with_the_epoch_of_its_rung(study, screen, rung, epoch):
    study.enqueue_trial({}, user_attrs={RUNG: rung} if rung else {})
    assert last_epoch(screen, study.ask(), 32) == epoch


def stopped(score, rung, cost=None):
    """A trial that stopped at a rung, of a chain of which nothing else is in the study."""
    return optuna.trial.create_trial(
        state=TrialState.PRUNED,
        intermediate_values={rung + 1: score},
        user_attrs={STOPPED: {}, COST: cost} | ({RUNG: rung} if rung else {}),
    )


def end(study, number, score, state=TrialState.PRUNED):
    """Have a running trial end: stopped at its rung, or complete."""
    trial_id = study.trials[number]._trial_id
    study._storage.set_trial_intermediate_value(trial_id, 5, score)
    if state == TrialState.PRUNED:
        study._storage.set_trial_user_attr(trial_id, STOPPED, {})
    study.tell(number, score if state == TrialState.COMPLETE else None, state=state)
