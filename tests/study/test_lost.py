"""A trial whose worker cannot be reached: Optuna refuses it, and another goes on from it."""

from dataclasses import replace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler, PartialFixedSampler, RandomSampler
from optuna.trial import TrialState
from studies import PLAN, ended, events, started

from mnist_cnn.experiment import Confirm, Screen
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.report.tally import tally
from mnist_cnn.study import chains, confirmation, screening
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.chains import FIRST, RUNG, continued, is_lost
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.recovery import recover
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.study.study import OF, SEED
from mnist_cnn.study.trials import LOSSES_ALLOWED
from mnist_cnn.training.sampling import repeated_trial

WIDTH = {"width": FloatDistribution(0.0, 9.0)}
GONE = "its node does not answer"
LINE = f"trial-00000 was lost: {GONE}; queued to continue elsewhere"


@pytest.fixture
def study(storage):
    with open_study(PLAN, storage) as opened:
        yield opened.study


def begun(study):
    """A trial that is running, and that a worker has built."""
    trial = study.trials.optuna_study.ask()
    trial.suggest_float("width", 0.0, 9.0)
    folder = study.trials.folder(trial.number)
    started(folder, values=trial.params)
    (folder / CHECKPOINT_FILE).write_bytes(b"epoch 1")
    return trial


def test_the_trial_fails_and_another_has_its_values_and_its_seed(study):
    params = begun(study).params
    assert study.lose(study.trials, 0, GONE) == [LINE]
    first, second = study.trials.all()
    assert (first.state, first.user_attrs["reason"]) == (TrialState.FAIL, "lost")
    assert second.state == TrialState.WAITING and continued(second) == second.user_attrs[FIRST] == 0
    assert second.params == params and params.keys() == {"width"}
    assert events(study.trials.folder(0)) == ["begin", "start", "end"]


def test_what_the_lost_worker_still_writes_is_refused(study):
    late = begun(study)
    study.lose(study.trials, 0, GONE)
    for write in (
        lambda: late.suggest_float("height", 0.0, 9.0),
        lambda: late.report(0.9, 2),
        lambda: late.set_user_attr("a", 1),
        lambda: study.trials.optuna_study.tell(late, 0.9),
    ):
        with pytest.raises((UpdateFinishedTrialError, ValueError)):
            write()
    assert study.trials.get(0).intermediate_values == {}


def test_a_trial_that_nothing_was_heard_of_has_a_run_all_the_same(study):
    study.enqueue_baselines(1)
    study.trials.optuna_study.ask()
    study.lose(study.trials, 0, GONE)
    assert events(study.trials.folder(0)) == ["begin", "start", "end"]
    assert study.trials.get(1).system_attrs["fixed_params"] == {"width": 1.0}


def test_what_was_not_sampled_yet_is_sampled_and_gets_no_default(study):
    """A node may die before its news has arrived, and a HyperModel's `fit` may declare more."""
    optuna_study = study.trials.optuna_study
    lost = optuna_study.ask()
    width = TrialHyperParameters(lost).Float("width", 0, 9, default=9)
    study.lose(study.trials, 0, GONE)
    optuna_study.sampler = PartialFixedSampler({"height": 3.0}, RandomSampler())
    hp = TrialHyperParameters(optuna_study.ask())
    assert hp.Float("width", 0, 9, default=9) == width
    assert hp.Float("height", 0, 9, default=9) == 3
    ended(study.trials.folder(1), "COMPLETE", values=[0.5])
    study.trials.tell(1)
    (shown,) = chains.configurations(study.trials.all())  # as samplers see it
    assert shown.params == {"width": width, "height": 3}


def test_what_a_baseline_does_not_name_gets_its_default_all_the_same(study):
    study.enqueue_baselines(1)
    study.trials.optuna_study.ask()
    study.lose(study.trials, 0, GONE)
    hp = TrialHyperParameters(study.trials.optuna_study.ask())
    assert hp.Float("width", 0, 9, default=9) == 1
    assert hp.Float("height", 0, 9, default=9) == 9


def test_one_of_a_grid_keeps_its_point(study):
    optuna_study = study.trials.optuna_study
    optuna_study.sampler = GridSampler({"width": [1.0, 2.0, 3.0, 4.0]}, seed=0)
    optuna_study.ask()
    study.lose(study.trials, 0, GONE)
    again = optuna_study.ask()
    assert repeated_trial(again) is None
    lost, continuation = study.trials.all()
    assert continuation.system_attrs["grid_id"] == lost.system_attrs["grid_id"]


def test_one_whose_end_has_arrived_is_told_and_not_continued(study):
    study.trials.optuna_study.ask()
    ended(study.trials.folder(0), "COMPLETE", values=[0.5])
    assert study.lose(study.trials, 0, GONE) == []
    (trial,) = study.trials.all()
    assert trial.state == TrialState.COMPLETE


def test_a_kill_before_it_is_continued_is_mended_once(study):
    begun(study)
    study.trials.lost(0, GONE)
    assert recover(study) == [LINE]
    assert recover(study) == []
    assert len(study.trials.all()) == 2
    assert (study.trials.folder(0) / CHECKPOINT_FILE).exists()


def test_it_counts_as_one_configuration(study):
    begun(study)
    study.lose(study.trials, 0, GONE)
    assert study.tried() == 1
    study.trials.optuna_study.ask()
    ended(study.trials.folder(1), "COMPLETE", values=[0.5])
    study.trials.tell(1)
    assert study.tried() == 1
    assert tally(study) == "configurations tried: 1, of which 1 complete"
    (shown,) = chains.configurations(study.trials.all())
    assert (shown.number, shown.state, shown.values) == (0, TrialState.COMPLETE, [0.5])
    assert study.remove_obsolete_files([0, 1]) == [0]
    assert not (study.trials.folder(0) / CHECKPOINT_FILE).exists()


def test_a_trial_that_loses_node_after_node_is_given_up(study):
    for number in range(LOSSES_ALLOWED + 1):
        assert study.trials.optuna_study.ask().number == number
        study.lose(study.trials, number, GONE)
    last = study.trials.all()[-1]
    assert last.number == LOSSES_ALLOWED and not is_lost(last)
    assert "the trial itself may be the cause" in last.user_attrs["reason"]
    assert recover(study) == []


def test_a_lost_continuation_leaves_the_checkpoint_of_the_rung_to_the_next(study):
    study = replace(study, plan=replace(PLAN, screen=Screen(rungs=(1,))))
    trial = optuna.trial.create_trial(
        state=TrialState.PRUNED,
        params={"width": 1.0},
        distributions=WIDTH,
        intermediate_values={1: 0.9},
        user_attrs={STOPPED: {"width": 1.0}},
    )
    for _ in range(3):
        study.trials.optuna_study.add_trial(trial)
    screening.enqueue_next(study.trials.optuna_study, study.plan.screen)
    assert continued(study.trials.get(study.trials.optuna_study.ask().number)) == 0
    checkpoint = study.trials.folder(0) / CHECKPOINT_FILE
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"epoch 1")
    study.lose(study.trials, 3, GONE)
    later = study.trials.get(4)
    assert (continued(later), later.user_attrs[FIRST], later.user_attrs[RUNG]) == (3, 0, 1)
    recover(study)
    assert checkpoint in study.inputs(study.trials, later) and checkpoint.exists()


def test_a_lost_confirmation_is_made_again_in_a_folder_of_its_own(study):
    study = replace(study, plan=replace(PLAN, confirm=Confirm(trials=1, seeds=1, max_seeds=1)))
    study.trials.optuna_study.ask()
    ended(study.trials.folder(0), "COMPLETE", values=[0.5])
    study.trials.tell(0)
    assert confirmation.next_confirmation(study, 9.0) == 0
    study.lose(study.confirmations, 0, GONE)
    assert confirmation.next_confirmation(study, 9.0) == 1
    again = study.confirmations.get(1)
    assert (again.user_attrs[OF], again.user_attrs[SEED], continued(again)) == (0, 0, 0)
    folders = [study.confirmations.folder(number).name for number in (0, 1)]
    assert folders == ["confirmation-00000-0", "confirmation-00000-0-1"]
    ended(study.confirmations.folder(1), "COMPLETE", values=[0.6])
    study.confirmations.tell(1)
    assert confirmation.next_confirmation(study, 9.0) is None
    assert candidates(study)[0].scores == (0.6,)
