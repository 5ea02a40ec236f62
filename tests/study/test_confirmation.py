"""Confirmation: which confirmations are planned, when a tie gets more seeds, and who wins."""

from dataclasses import replace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from studies import ended, started

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Confirm, Maximize, Minimize
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.plan import Plan
from mnist_cnn.study import confirmation
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.study import OF, SEED, make_study
from mnist_cnn.study.trials import TRAINED
from mnist_cnn.tracking.journal import Journal

FOREVER = float("inf")


@pytest.fixture
def study(tmp_path):
    def make(confirm, values=(0.95, 0.99, 0.97), epoch_seconds=(0.0, 0.0, 0.0)):
        storage = f"sqlite:///{tmp_path}/optuna.db"
        optuna_study = optuna.create_study(storage=storage, direction="maximize", study_name="a-1")
        optuna_study.set_user_attr("metrics", ["val_accuracy"])
        for value, seconds in zip(values, epoch_seconds, strict=True):
            optuna_study.add_trial(
                optuna.create_trial(
                    params={"x": value},
                    distributions={"x": FloatDistribution(0, 1)},
                    value=value,
                    user_attrs={TRAINED: {"epochs": 1, "seconds": seconds}},
                )
            )
        plan = Plan(
            id=ExperimentId("a"),
            objectives=(Maximize("val_accuracy"),),
            trials=len(values),
            timeout_seconds=None,
            trial_timeout_seconds=None,
            epochs=2,
            screen=None,
            confirm=confirm,
            baselines=(),
            description={},
            fingerprint="",
        )
        made = make_study(plan, storage, optuna_study, tmp_path)
        for number, value in enumerate(values):
            started(made.trials.folder(number), values={"x": value})
        return made

    return make


def confirm_with(study, scores):
    """Complete each confirmation that is asked for with `scores[trial][seed]`."""
    made = []
    while (number := confirmation.next_confirmation(study, FOREVER)) is not None:
        attributes = study.confirmations.get(number).user_attrs
        key = attributes[OF], attributes[SEED]
        end(study, number, scores[key[0]][key[1]])
        made.append(key)
    return made


def end(study, number, score):
    """End a confirmation: with a score, or with None as failed."""
    folder = study.confirmations.folder(number)
    if score is None:
        ended(folder, "FAIL", reason="ValueError: no")
    else:
        ended(folder, "COMPLETE", values=[score], summary={"best_val_accuracy": score})
    study.confirmations.tell(number)


def test_a_confirmation_has_a_trials_time_limit_in_proportion_to_its_epochs(study):
    made = study(Confirm(epochs=6))
    assert confirmation.limit_seconds(made) is None
    limited = replace(made, plan=replace(made.plan, trial_timeout_seconds=10))
    assert confirmation.limit_seconds(limited) == 30


@pytest.mark.parametrize(("workers", "seconds"), [(1, 120), (2, 60), (3, 40), (4, 40)])
def test_the_reserved_time_is_the_expected_time_and_a_margin(study, workers, seconds):
    confirm = Confirm(trials=2, seeds=2, max_seeds=2, epochs=4)
    made = study(confirm, epoch_seconds=(1.0, 10.0, 5.0))
    # Forty seconds and twenty, alternating, twice each.
    expected = confirmation.expected_rounds(made, workers)[-1]
    assert expected == pytest.approx(confirmation.MARGIN * seconds)


@pytest.mark.parametrize(
    ("most", "ends"),
    [(FOREVER, [60, 120, 180]), (180, [60, 120, 180]), (179, [60, 120]), (119, [60]), (0, [60])],
)
def test_time_is_reserved_for_whole_rounds_and_at_least_one(study, most, ends):
    confirm = Confirm(trials=2, seeds=3, max_seeds=3, epochs=4)
    made = study(confirm, epoch_seconds=(1.0, 10.0, 5.0))
    expected = confirmation.expected_rounds(made, 1, confirmation.MARGIN * (most + 0.1))
    assert expected == pytest.approx([confirmation.MARGIN * end for end in ends])


def test_an_older_study_is_ranked_its_own_way(study):
    made = study(Confirm())
    another = replace(made, plan=replace(made.plan, objectives=(Minimize("val_loss"),)))
    assert [t.value for t in another.ranking()] == [t.value for t in made.ranking()]


def test_the_best_trials_are_confirmed_one_seed_after_another(study):
    one = study(Confirm(trials=2, seeds=2, max_seeds=2))
    assert confirm_with(one, {1: [0.98, 0.98], 2: [0.99, 0.99]}) == [(1, 0), (2, 0), (1, 1), (2, 1)]
    queued = [trial.system_attrs["fixed_params"] for trial in one.confirmations.all()]
    assert queued == [{"x": 0.99}, {"x": 0.97}] * 2
    assert len(one.trials.all()) == 3  # none of them is a trial of the study itself


def test_the_highest_confirmed_mean_wins_not_the_highest_first_score(study):
    one = study(Confirm(trials=2, seeds=2, max_seeds=2))
    confirm_with(one, {1: [0.980, 0.982], 2: [0.986, 0.984]})
    ranked = candidates(one)
    assert [candidate.trial.number for candidate in ranked] == [2, 1, 0]
    assert ranked[0].score == pytest.approx(0.985)
    assert ranked[0].model.parent.name == "confirmation-00002-0"  # the better of its two
    assert ranked[2].scores == ()


def test_two_candidates_are_compared_on_common_seeds(study):
    """The second seed is easy, and only the worse candidate has it."""
    one = study(Confirm(trials=2, seeds=2, max_seeds=2))
    confirm_with(one, {1: [0.97, None], 2: [0.96, 0.99]})
    ranked = candidates(one)
    assert [candidate.trial.number for candidate in ranked[:2]] == [1, 2]
    assert ranked[1].score == pytest.approx(0.975)


def test_a_slow_candidate_does_not_lose_because_time_ran_out(study):
    one = study(Confirm(trials=3, seeds=2, max_seeds=2))
    scores = {0: [0.96, 0.97], 1: [0.99], 2: [0.95, 0.98]}
    for _ in range(5):  # the second seed of the best takes too long
        number = confirmation.next_confirmation(one, FOREVER)
        attributes = one.confirmations.get(number).user_attrs
        if len(scores[attributes[OF]]) > attributes[SEED]:
            end(one, number, scores[attributes[OF]][attributes[SEED]])
    assert candidates(one)[0].trial.number == 1


def test_a_tie_gets_more_seeds_up_to_the_maximum(study):
    one = study(Confirm(trials=3, seeds=2, max_seeds=4))
    made = confirm_with(
        one, {0: [0.90, 0.91], 1: [0.98, 0.99, 0.98, 0.99], 2: [0.99, 0.98, 0.99, 0.98]}
    )
    assert sorted(made[6:]) == [(1, 2), (1, 3), (2, 2), (2, 3)]


def test_one_that_is_clearly_behind_is_out_of_the_race(study):
    one = study(Confirm(trials=3, seeds=3, max_seeds=4))
    scores = {0: [0.90, 0.91], 1: [0.98, 0.99, 0.98, 0.99], 2: [0.99, 0.98, 0.99, 0.98]}
    made = confirm_with(one, scores)
    assert [seed for trial, seed in made if trial == 0] == [0, 1]
    assert [seed for trial, seed in made if trial == 2] == [0, 1, 2, 3]


def test_one_that_is_better_than_the_leader_is_not_out_of_the_race(study):
    """The leader is the best on the seeds that all have; a failed training leaves one seed."""
    one = study(Confirm(trials=3, seeds=3, max_seeds=4))
    scores = {
        0: [0.9949, None, None, None],
        1: [0.9950, 0.9930, 0.9931, 0.9930],
        2: [0.9948, 0.9960, 0.9961, 0.9960],
    }
    made = confirm_with(one, scores)
    assert (2, 3) in made
    assert candidates(one)[0].trial.number == 2


def test_two_equal_scores_do_not_make_a_small_difference_clear(study):
    one = study(Confirm(trials=3, seeds=2, max_seeds=3))
    scores = {0: [0.97, 0.98, 0.97], 1: [0.982, 0.982, 0.98], 2: [0.984, 0.984, 0.99]}
    assert [key for key in confirm_with(one, scores) if key[0] == 1] == [(1, 0), (1, 1), (1, 2)]


def test_without_a_tie_no_more_seeds_are_spent(study):
    one = study(Confirm(trials=2, seeds=2, max_seeds=9))
    made = confirm_with(one, {1: [0.990, 0.991], 2: [0.970, 0.971]})
    assert len(made) == 4


def test_a_confirmation_that_loses_its_worker_is_made_again(study):
    """A lost process must not decide who wins."""
    one = study(Confirm(trials=2, seeds=1, max_seeds=1))
    number = confirmation.next_confirmation(one, FOREVER)
    folder = one.confirmations.folder(number)
    Journal(folder).write("begin", name="confirmation 1 of trial 001", tags={}, worker="1")
    one.confirmations.worker_died(number, "its process was killed by SIGKILL")
    assert confirm_with(one, {1: [0.98], 2: [0.90]}) == [(1, 0), (2, 0)]
    assert candidates(one)[0].trial.number == 1


def test_a_failed_confirmation_is_not_made_again_and_has_no_score(study):
    one = study(Confirm(trials=1, seeds=2, max_seeds=2))
    assert confirm_with(one, {1: [None, 0.98]}) == [(1, 0), (1, 1)]
    assert candidates(one)[0].scores == (0.98,)


def test_a_failed_confirmation_does_not_end_a_tie(study):
    one = study(Confirm(trials=2, seeds=3, max_seeds=4))
    made = confirm_with(one, {1: [None, 0.98, 0.99, 0.98], 2: [0.99, 0.98, 0.99, 0.98]})
    assert sorted(made) == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]


def test_an_interrupted_confirmation_goes_first(study):
    one = study(Confirm(trials=2, seeds=1, max_seeds=1))
    first = confirmation.next_confirmation(one, FOREVER)
    started(one.confirmations.folder(first)).metrics(1, {"val_accuracy": 0.5})
    one.confirmations.pause(first)
    assert confirmation.next_confirmation(one, FOREVER) == first
    assert confirmation.next_confirmation(one, FOREVER) == first + 1


def test_a_confirmation_enqueued_before_a_kill_is_not_enqueued_again(study):
    one = study(Confirm(trials=1, seeds=1, max_seeds=1))
    one.confirmations.optuna_study.enqueue_trial({"x": 0.99}, user_attrs={OF: 1, SEED: 0})
    assert confirmation.next_confirmation(one, FOREVER) == 0
    assert confirmation.next_confirmation(one, FOREVER) is None
    assert len(one.confirmations.all()) == 1


def test_a_waiting_confirmation_that_is_no_longer_wanted_is_failed(study):
    one = study(Confirm(trials=1, seeds=1, max_seeds=1))
    first = confirmation.next_confirmation(one, FOREVER)
    one.confirmations.pause(first)
    better = optuna.create_trial(
        params={"x": 1.0}, distributions={"x": FloatDistribution(0, 1)}, value=1.0
    )
    one.trials.optuna_study.add_trial(better)
    started(one.trials.folder(3), values={"x": 1.0})
    second = confirmation.next_confirmation(one, FOREVER)
    assert one.confirmations.get(second).user_attrs[OF] == 3
    assert one.confirmations.get(first).state == TrialState.FAIL


def test_a_waiting_seed_of_a_later_round_waits_until_the_others_have_caught_up(study):
    one = study(Confirm(trials=2, seeds=2, max_seeds=3))
    for _ in range(4):
        end(one, confirmation.next_confirmation(one, FOREVER), 0.9)
    third_seeds = [confirmation.next_confirmation(one, FOREVER) for _ in range(2)]
    for number in third_seeds:
        one.confirmations.pause(number)
    better = optuna.create_trial(
        params={"x": 1.0}, distributions={"x": FloatDistribution(0, 1)}, value=1.0
    )
    one.trials.optuna_study.add_trial(better)
    started(one.trials.folder(3), values={"x": 1.0})
    asked = [confirmation.next_confirmation(one, FOREVER) for _ in range(2)]
    assert [one.confirmations.get(each).user_attrs[OF] for each in asked] == [3, 3]
    states = [one.confirmations.get(number).state for number in third_seeds]
    assert states == [TrialState.WAITING, TrialState.FAIL]  # trial 2 is not among the best now
    for number in asked:
        end(one, number, 0.9)
    assert third_seeds[0] in [confirmation.next_confirmation(one, FOREVER) for _ in range(2)]


def test_one_that_does_not_fit_any_more_holds_up_no_other(study):
    one = study(Confirm(trials=1, seeds=2, max_seeds=2), epoch_seconds=(0.0, 10.0, 0.0))
    confirm_first = confirmation.next_confirmation(one, FOREVER)
    ended(one.confirmations.folder(confirm_first), "COMPLETE", values=[0.9])
    one.confirmations.tell(confirm_first)
    second_seed = confirmation.next_confirmation(one, FOREVER)
    one.confirmations.pause(second_seed)
    wider = replace(one, plan=replace(one.plan, confirm=Confirm(trials=2, seeds=2, max_seeds=2)))
    asked = confirmation.next_confirmation(wider, 1.0)
    assert wider.confirmations.get(asked).user_attrs == {OF: 2, SEED: 0}
    assert wider.confirmations.get(second_seed).state == TrialState.WAITING


def test_a_trial_whose_values_nobody_knows_is_not_confirmed_with_defaults(study):
    one = study(Confirm(trials=2, seeds=1, max_seeds=1))
    for number in (1, 2):
        (one.trials.folder(number) / "journal.jsonl").unlink()
    asked = confirmation.next_confirmation(one, FOREVER)
    assert asked is None  # nothing here tells what they were, and defaults are something else


def test_without_time_only_the_first_seed_of_the_best_is_tried(study):
    one = study(Confirm(trials=2, seeds=2, max_seeds=2), epoch_seconds=(10.0, 10.0, 10.0))
    asked = [confirmation.next_confirmation(one, 1.0) for _ in range(2)]
    assert one.confirmations.get(asked[0]).user_attrs[OF] == 1
    assert asked[1] is None
    end(one, asked[0], 0.9)
    assert confirmation.next_confirmation(one, 1.0) is None


def test_a_worse_trial_that_was_confirmed_sooner_does_not_win(study):
    one = study(Confirm(trials=3, seeds=1, max_seeds=1))
    best, second, _ = (confirmation.next_confirmation(one, FOREVER) for _ in range(3))
    end(one, second, 0.85)
    assert [each.trial.number for each in candidates(one)] == [1, 2, 0]
    end(one, best, 0.84)
    assert [each.trial.number for each in candidates(one)] == [2, 1, 0]


def test_a_trial_whose_confirmation_failed_does_not_stay_in_front(study):
    one = study(Confirm(trials=2, seeds=1, max_seeds=1))
    best, second = (confirmation.next_confirmation(one, FOREVER) for _ in range(2))
    end(one, second, 0.85)
    end(one, best, None)
    assert [each.trial.number for each in candidates(one)] == [2, 1, 0]


def test_scores_that_are_not_finite_are_left_out(study):
    """Earlier versions have stored some."""
    made = study(Confirm(trials=2, seeds=2, max_seeds=2))
    made.trials.optuna_study.add_trial(optuna.create_trial(value=float("inf")))
    assert [trial.number for trial in made.ranking()] == [1, 2, 0]
    confirm_with(made, {1: (float("-inf"), 0.9), 2: (0.8, 0.8)})
    scores = {one.trial.number: one.scores for one in candidates(made)}
    assert scores == {1: (0.9,), 2: (0.8, 0.8), 0: ()}


def test_without_confirmations_the_best_trial_wins(study):
    one = study(Confirm(trials=0))
    assert confirmation.outstanding(one) == []
    assert candidates(one)[0].trial.number == 1


@pytest.mark.parametrize(
    "wrong", [{"trials": -1}, {"seeds": 0}, {"seeds": 3, "max_seeds": 2}, {"max_seeds": 1}]
)
def test_an_impossible_plan_is_refused(wrong):
    with pytest.raises(UserError, match="Confirm: "):
        Confirm(**wrong)
