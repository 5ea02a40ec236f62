"""Which configurations of earlier studies a new one begins with; test_search.py has a real one."""

from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from studies import PLAN

from mnist_cnn.experiment import Minimize
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.study import BASELINE, EARLIER
from mnist_cnn.study.trials import VALUES
from mnist_cnn.study.warm_start import best_of_earlier, enqueue, most_from_earlier

WIDTH = {"width": FloatDistribution(0, 10)}


def new_study(storage, plan=PLAN):
    """The study that a search opens after an edit."""
    number = new_study.number = getattr(new_study, "number", 0) + 1
    with open_study(replace(plan, fingerprint=str(number)), storage) as opened:
        opened.study.enqueue_baselines(99)
        return opened.study


def add(study, width, score, state=TrialState.COMPLETE, **attributes):
    """Add a trial that has ended."""
    trial = create_trial(
        state=state,
        values=[score] if state == TrialState.COMPLETE else None,
        params={"width": width},
        distributions=WIDTH,
        user_attrs={VALUES: {"width": width}, **attributes},
    )
    study.trials.optuna_study.add_trial(trial)


def first_trials(study):
    """The values in the queue of a study's trials."""
    return [trial.system_attrs["fixed_params"] for trial in study.trials.all()]


@pytest.mark.parametrize(("wanted", "most"), [(3, 0), (4, 1), (8, 2), (12, 3), (1000, 3)])
def test_few_are_tried_of_few(wanted, most):
    assert most_from_earlier(wanted, baselines=2) == most


@pytest.mark.parametrize(("baselines", "most"), [(6, 2), (7, 1), (8, 0), (9, 0)])
def test_with_the_baselines_they_are_no_more_than_wanted(baselines, most):
    assert most_from_earlier(8, baselines) == most


def test_the_best_come_first(storage):
    before = new_study(storage)
    for width, score in ((3.0, 0.7), (4.0, 0.9), (5.0, 0.8), (6.0, 0.6)):
        add(before, width, score)
    name, found = best_of_earlier(new_study(storage))
    assert name == "tiny-1"
    assert [values["width"] for values in found] == [4.0, 5.0, 3.0, 6.0]


def test_they_come_after_the_baselines_and_once(storage):
    before = new_study(storage)
    add(before, 4.0, 0.9)
    study = new_study(storage)
    name, found = best_of_earlier(study)
    assert enqueue(study, name, found) == (
        "the best configuration of tiny-1 that the space accepts will be tried early; "
        "warm_start=False in the experiment prevents it"
    )
    assert first_trials(study) == [{"width": 1.0}, {"width": 2.0}, {"width": 4.0}]
    assert study.trials.all()[2].user_attrs == {EARLIER: "tiny-1"}
    assert best_of_earlier(study) == ("", [])  # such as after a kill


def test_it_is_said_if_none_is_valid_any_more(storage):
    study = new_study(storage)
    assert enqueue(study, "tiny-1", []) == (
        "the best configurations of tiny-1 are baselines now, or not valid any more"
    )
    assert len(study.trials.all()) == 2  # the baselines


def test_a_study_that_has_begun_gets_none(storage):
    add(new_study(storage), 4.0, 0.9)
    study = new_study(storage)
    study.trials.optuna_study.ask()
    assert best_of_earlier(study) == ("", [])


def test_it_can_be_turned_off(storage):
    add(new_study(storage), 4.0, 0.9)
    study = new_study(storage, replace(PLAN, warm_start=False))
    assert best_of_earlier(study) == ("", [])


def test_a_study_without_a_complete_trial_is_passed_over(storage):
    add(new_study(storage), 4.0, 0.9)
    add(new_study(storage), 5.0, 0.0, state=TrialState.FAIL)
    assert best_of_earlier(new_study(storage)) == ("tiny-1", [{"width": 4.0}])


def test_the_newest_study_counts_even_if_another_scored_higher(storage):
    add(new_study(storage), 4.0, 0.9)
    add(new_study(storage), 5.0, 0.1)
    assert best_of_earlier(new_study(storage)) == ("tiny-2", [{"width": 5.0}])


def test_other_objectives_rank_otherwise(storage):
    add(new_study(storage), 4.0, 0.9)
    study = new_study(storage, replace(PLAN, objectives=(Minimize("val_loss"),)))
    assert best_of_earlier(study) == ("", [])


def test_a_baseline_of_both_is_not_tried_twice_but_one_that_was_removed_is(storage):
    before = new_study(storage)
    first, second = before.trials.all()
    for number, trial in enumerate((first, second)):
        asked = before.trials.optuna_study.ask(WIDTH)
        before.trials.set_attribute(number, VALUES, asked.params)
        before.trials.optuna_study.tell(asked, 0.9 - 0.1 * number)
        assert BASELINE in trial.user_attrs
    study = new_study(storage, replace(PLAN, baselines=({"width": 1.0},)))
    assert best_of_earlier(study) == ("tiny-1", [{"width": 2.0}])
