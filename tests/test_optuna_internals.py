"""What is used of Optuna's private API, so that a test says so when Optuna changes it."""

import warnings

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mnist_cnn import optuna_internals
from mnist_cnn.study.storage import open_storage


@pytest.fixture
def study(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    return optuna.create_study(storage=open_storage(url), study_name="one")


@pytest.fixture
def storage(study, tmp_path):
    return open_storage(f"sqlite:///{tmp_path}/optuna.db")


def test_a_trial_that_another_process_asked_for_is_adopted_and_sampled(study, storage):
    asked = study.ask()
    other = optuna.load_study(study_name="one", storage=storage)
    number = optuna_internals.trial_id(storage, "one", asked.number)
    adopted = optuna_internals.adopt_trial(other, number)
    value = adopted.suggest_float("x", 0.0, 1.0)
    assert adopted.number == asked.number == 0
    assert study.trials[0].params == {"x": value}
    assert study.trials[0].state == TrialState.RUNNING


def test_a_running_trial_goes_back_into_the_queue_with_what_it_has(study, storage):
    trial = study.ask()
    value = trial.suggest_float("x", 0.0, 1.0)
    trial.report(0.5, 1)
    optuna_internals.requeue_trial(storage, "one", 0)
    assert study.trials[0].state == TrialState.WAITING
    again = study.ask()
    assert (again.number, again.params) == (0, {"x": value})
    assert study.trials[0].intermediate_values == {1: 0.5}


def test_the_values_of_an_enqueued_trial_are_known_and_of_no_other(study):
    study.enqueue_trial({"x": 0.25})
    assert optuna_internals.enqueued_values(study.ask()) == {"x": 0.25}
    assert optuna_internals.enqueued_values(study.ask()) is None
    assert optuna_internals.enqueued_values(optuna.trial.FixedTrial({"x": 1.0})) is None


def test_the_next_suggestion_can_be_given(study):
    trial = study.ask()
    optuna_internals.answer_next(trial, "x", 0.125)
    assert trial.suggest_float("x", 0.0, 1.0) == 0.125
    assert study.trials[0].params == {"x": 0.125}


def test_a_value_is_reported_again_without_a_warning(study):
    trial = study.ask()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0.5, 0.75):
            optuna_internals.report_value(trial, value, 1)
    assert study.trials[0].intermediate_values == {1: 0.75}
    trial.study.pruner = optuna.pruners.ThresholdPruner(upper=0.6)
    assert trial.should_prune()  # which sees the second value


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(0.0, 1.0), 0.5, 1.5),
        (IntDistribution(2, 8, step=2), 4, 5),
        (CategoricalDistribution(["a", "b"]), "b", None),
    ],
)
def test_a_distribution_says_what_it_can_give(distribution, inside, outside):
    assert optuna_internals.contains(distribution, inside)
    if outside is not None:
        assert not optuna_internals.contains(distribution, outside)


def test_a_sampler_asks_to_stop_by_the_error_that_is_looked_for():
    with pytest.raises(RuntimeError, match=r"Study\.stop"):
        optuna.create_study().stop()
