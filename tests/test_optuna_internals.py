"""What is used of Optuna's private API, so that a test says so when Optuna changes it."""

import warnings

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mnist_cnn import optuna_internals
from mnist_cnn.optuna_internals import StudyAs, adopt_trial, all_trials, trial_id
from mnist_cnn.study import chains
from mnist_cnn.study.storage import open_storage

PRUNED = TrialState.PRUNED


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


def test_a_sampler_sees_the_trials_that_ended_since_the_study_was_opened(study, storage):
    other = optuna.load_study(study_name="one", storage=storage)  # as a worker keeps it open
    other.sampler = optuna.samplers.TPESampler(n_startup_trials=1)
    seen = []
    for value in range(3):
        asked = study.ask()
        adopt_trial(other, trial_id(storage, "one", asked.number))
        states = (TrialState.COMPLETE,)
        seen.append(len(other._get_trials(deepcopy=False, states=states, use_cache=True)))
        study.tell(asked, value)
    assert seen == [0, 1, 2]


# A study that shows other trials than it has


def stopped(study, x, value, **before):
    """A trial that stopped at a rung; it continues another one if that is given."""
    study.enqueue_trial({"x": x}, user_attrs=before)
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(value, 1)
    study.tell(trial, state=TrialState.PRUNED)
    return trial.number


@pytest.fixture
def worker(study, storage):
    """The study as a worker has it: each configuration once."""
    return StudyAs("one", storage, chains.configurations)


def of_rung(number, rung):
    return {chains.CONTINUES: number, chains.FIRST: number, chains.RUNG: rung}


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("deepcopy", [False, True])
def test_a_study_of_configurations_has_each_once_in_any_state(study, worker, use_cache, deepcopy):
    for x in (0.1, 0.2, 0.3):
        stopped(study, x, x)
    stopped(study, 0.2, 0.4, **of_rung(1, 1))
    study.ask()

    def numbers(*states):
        found = worker._get_trials(deepcopy, states or None, use_cache)
        return [trial.number for trial in found]

    assert numbers() == [0, 1, 2, 4]
    assert numbers(TrialState.PRUNED, TrialState.COMPLETE) == [0, 1, 2]
    assert numbers(TrialState.RUNNING) == [4]


def test_a_configuration_has_the_sampler_of_its_first_trial_and_the_outcome_of_its_last(
    study, worker, storage
):
    first = study.ask()
    storage.set_trial_system_attr(trial_id(storage, "one", 0), "generation", 3)
    first.report(0.1, 1)
    study.tell(first, state=PRUNED)
    study.enqueue_trial({}, user_attrs=of_rung(0, 1))
    trial = study.ask()
    trial.report(0.4, 2)
    (shown,) = worker.trials  # until the continuation has ended, as it was
    assert (shown.number, shown.state, shown.intermediate_values) == (0, PRUNED, {1: 0.1})
    study.tell(trial, 0.5)
    (shown,) = worker.trials
    assert (shown.number, shown.state, shown.value) == (0, TrialState.COMPLETE, 0.5)
    assert shown.intermediate_values == {2: 0.4} and shown.user_attrs[chains.RUNG] == 1
    assert shown.system_attrs["generation"] == 3
    assert worker.get_trials(states=(PRUNED,)) == []
    assert [trial.number for trial in worker.best_trials] == [0]
    assert [trial.state for trial in study.trials] == [PRUNED, TrialState.COMPLETE]


def test_a_trial_can_ask_for_all_of_them(study, worker, storage):
    stopped(study, 0.1, 0.1)
    stopped(study, 0.1, 0.2, **of_rung(0, 1))
    trial = adopt_trial(worker, trial_id(storage, "one", study.ask().number))
    assert [trial.number for trial in all_trials(trial)] == [0, 1, 2]


def test_a_sampler_counts_a_configuration_that_was_continued_once(study, worker, storage):
    for x in (0.1, 0.2):
        stopped(study, x, x)
    stopped(study, 0.2, 0.4, **of_rung(1, 1))
    sampled = []
    for startup in (2, 3):  # of two configurations in three trials
        worker.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=startup)
        trial = adopt_trial(worker, trial_id(storage, "one", study.ask().number))
        sampled.append(trial.suggest_float("x", 0.0, 1.0))
    at_random = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    expected = at_random.ask().suggest_float("x", 0.0, 1.0)
    assert sampled[0] != expected and sampled[1] == expected


def test_a_genetic_sampler_learns_from_configurations_that_were_continued(study, worker, storage):
    worker.sampler = optuna.samplers.NSGAIISampler(seed=0, population_size=2)
    for value in (0.1, 0.2):
        asked = study.ask()
        adopt_trial(worker, trial_id(storage, "one", asked.number)).suggest_float("x", 0.0, 1.0)
        study.tell(asked, state=PRUNED)
        study.enqueue_trial({}, user_attrs=of_rung(asked.number, 1))
        study.tell(study.ask(), value)
    asked = study.ask()
    adopt_trial(worker, trial_id(storage, "one", asked.number)).suggest_float("x", 0.0, 1.0)
    assert 1 in study.trials[asked.number].system_attrs.values()  # of the second generation


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
        (CategoricalDistribution(["a", "b"]), "b", "c"),
        (FloatDistribution(1e-3, 1.0, log=True), 0.5, -0.5),
        (FloatDistribution(0.0, 1.0), 0.5, "a"),
    ],
)
def test_a_distribution_says_what_it_can_give(distribution, inside, outside):
    assert optuna_internals.contains(distribution, inside)
    assert not optuna_internals.contains(distribution, outside)


def test_a_sampler_asks_to_stop_by_the_error_that_is_looked_for():
    with pytest.raises(RuntimeError, match=r"Study\.stop"):
        optuna.create_study().stop()
