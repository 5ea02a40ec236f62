"""What recovery mends after a kill, and how trials end that lost their worker."""

from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from studies import PLAN, ended, events, files, started

from mnist_cnn.experiment import Maximize, Minimize, Screen
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE
from mnist_cnn.study import screening
from mnist_cnn.study.chains import RUNG
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.recovery import close_others, recover
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.study.study import CHECKPOINTS_KEPT, MODELS_KEPT, OF, SEED
from mnist_cnn.tracking.journal import Journal

WIDTH = {"width": FloatDistribution(0.0, 9.0)}


@pytest.fixture
def study(storage):
    with open_study(PLAN, storage) as opened:
        yield opened.study


def test_a_study_that_ended_well_needs_no_recovery(study):
    complete(study)
    assert recover(study) == []


def test_a_running_trial_goes_back_into_the_queue_with_its_parameters_and_epochs(study):
    trial = study.trials.optuna_study.ask()
    trial.suggest_float("width", 0.0, 9.0)
    trial.report(0.5, 1)
    journal = started(study.trials.folder(0))
    journal.metrics(1, {"val_accuracy": 0.5})
    params = study.trials.all()[0].params
    assert recover(study) == ["trial-00000 was interrupted (epochs done: 1); queued to resume"]
    assert events(study.trials.folder(0))[-1] == "pause"
    assert recover(study) == []
    again = study.trials.optuna_study.ask()
    assert again.number == 0 and len(study.trials.all()) == 1
    assert again.params == params and study.trials.all()[0].intermediate_values == {1: 0.5}


def test_a_trial_that_was_lost_before_it_wrote_anything_goes_back_into_the_queue(study):
    study.trials.optuna_study.ask()
    assert recover(study) == ["trial-00000 was interrupted (epochs done: 0); queued to resume"]
    assert study.trials.all()[0].state == TrialState.WAITING
    assert not study.trials.folder(0).exists()


def test_an_end_that_optuna_was_not_told_is_told(study):
    trial = study.trials.optuna_study.ask()
    trial.report(0.75, 1)
    ended(study.trials.folder(0), "COMPLETE", values=[0.75])
    assert recover(study) == ["trial-00000 had ended; told Optuna"]
    assert (study.trials.all()[0].state, study.trials.all()[0].values) == (
        TrialState.COMPLETE,
        [0.75],
    )
    assert recover(study) == []


def test_a_failure_that_optuna_was_not_told_is_told_with_its_reason(study):
    study.trials.optuna_study.ask()
    ended(study.trials.folder(0), "FAIL", reason="ValueError: no")
    recover(study)
    (trial,) = study.trials.all()
    assert trial.state == TrialState.FAIL and trial.user_attrs["reason"] == "ValueError: no"


def test_an_end_that_only_optuna_knows_is_written_to_the_run(study):
    """After a power cut the databases and the journal may be from different moments."""
    started(study.trials.folder(complete(study).number))
    assert recover(study) == ["trial-00000 is finished; ended its run"]
    last = Journal(study.trials.folder(0)).last
    assert (last["event"], last["status"], last["values"]) == ("end", "FINISHED", [0.5])
    assert recover(study) == []


def test_a_run_left_open_of_a_trial_that_waits_is_paused(study):
    study.trials.optuna_study.enqueue_trial({"width": 1.0})
    started(study.trials.folder(0))
    assert recover(study) == ["trial-00000 was queued to resume; paused its run"]
    assert events(study.trials.folder(0)) == ["begin", "start", "pause"]
    assert recover(study) == []


def test_checkpoints_and_partial_files_of_finished_trials_are_removed(study):
    number = complete(study).number
    ended(study.trials.folder(number), "COMPLETE", values=[0.5])
    waiting = study.trials.optuna_study.ask().number
    for folder in (study.trials.folder(number), study.trials.folder(waiting)):
        folder.mkdir(exist_ok=True)
        for name in (CHECKPOINT_FILE, "checkpoint.part", MODEL_FILE, "model.part.keras"):
            (folder / name).touch()
        (folder / "delivered.part.json").touch()  # another process or thread is writing it
    recover(study)
    left = {MODEL_FILE, "journal.jsonl", "delivered.part.json"}
    assert files(study.trials.folder(number)) == left
    assert CHECKPOINT_FILE in files(study.trials.folder(waiting))
    assert recover(study) == []


@pytest.mark.parametrize("rung", [0, 1])
def test_the_checkpoints_of_the_best_stopped_trials_of_each_rung_are_kept(storage, rung):
    with open_study(replace(PLAN, screen=Screen(rungs=(1, 2))), storage) as opened:
        study = opened.study
        other = stopped(study, 0.0, 1 - rung)
        for score in range(CHECKPOINTS_KEPT + 2):
            stopped(study, score / 10, rung)
        kept = [
            trial.number
            for trial in study.trials.all()
            if CHECKPOINT_FILE in files(study.trials.folder(trial.number))
        ]
        assert kept == [other, *range(3, CHECKPOINTS_KEPT + 3)]
        assert recover(study) == []


def test_a_checkpoint_is_removed_wherever_its_trial_falls_to_in_the_order_of_its_rung(
    storage, monkeypatch
):
    """The order may change at once, since more epochs of a large network gain more, or less."""
    monkeypatch.setattr("mnist_cnn.study.study.CHECKPOINTS_KEPT", 1)
    with open_study(replace(PLAN, screen=Screen(rungs=(1,))), storage) as opened:
        study = opened.study
        best, second, third = (stopped(study, score, 0) for score in (0.5, 0.4, 0.3))
        assert CHECKPOINT_FILE in files(study.trials.folder(best))
        monkeypatch.setattr(screening, "unused", lambda *_: [[second, third, best]])
        study.remove_obsolete_files([])
        assert CHECKPOINT_FILE not in files(study.trials.folder(best))


def stopped(study, score, rung):
    """A trial that stopped at a rung and left its checkpoint. Return its number."""
    study.trials.optuna_study.enqueue_trial({}, user_attrs={RUNG: rung} if rung else {})
    trial = study.trials.optuna_study.ask()
    trial.report(score, rung + 1)
    trial.set_user_attr(STOPPED, {})
    study.trials.optuna_study.tell(trial, state=TrialState.PRUNED)
    folder = study.trials.folder(trial.number)
    ended(folder, "PRUNED")
    (folder / CHECKPOINT_FILE).touch()
    study.remove_obsolete_files([trial.number])
    return trial.number


def test_a_screened_search_ignores_an_older_study_of_several_objectives(storage):
    several = (Maximize("val_accuracy"), Minimize("parameters"))
    with open_study(replace(PLAN, objectives=several, fingerprint="older"), storage) as opened:
        older = opened.study
        number = complete(older, [0.5, 100]).number
        ended(older.trials.folder(number), "COMPLETE", values=[0.5, 100])
    with open_study(replace(PLAN, screen=Screen()), storage) as opened:
        assert opened.study.name == "tiny-2" and close_others(opened.study) == []


def test_only_the_models_of_the_best_trials_are_kept(study):
    for score in range(MODELS_KEPT + 2):
        number = complete(study, score / 10).number
        ended(study.trials.folder(number), "COMPLETE", values=[score / 10])
        (study.trials.folder(number) / MODEL_FILE).touch()
    lines = recover(study)
    assert [line.split(";")[0] for line in lines] == ["trial 0 is finished", "trial 1 is finished"]
    kept = [n for n in range(MODELS_KEPT + 2) if (study.trials.folder(n) / MODEL_FILE).exists()]
    assert kept == list(range(2, MODELS_KEPT + 2))


def test_an_interrupted_confirmation_is_queued_to_resume(study):
    number = asked_confirmation(study, of=0, seed=1)
    folder = study.confirmations.folder(number)
    started(folder).metrics(1, {"val_accuracy": 0.5})
    (folder / CHECKPOINT_FILE).touch()
    assert folder.name == "confirmation-00000-1"
    assert recover(study) == [f"{folder.name} was interrupted (epochs done: 1); queued to resume"]
    assert study.confirmations.get(number).state == TrialState.WAITING
    assert (folder / CHECKPOINT_FILE).exists()
    assert recover(study) == []


def test_the_checkpoint_of_a_confirmation_that_ended_is_removed(study):
    number = asked_confirmation(study, of=0, seed=0)
    folder = study.confirmations.folder(number)
    ended(folder, "COMPLETE", values=[0.5])
    (folder / CHECKPOINT_FILE).touch()
    assert recover(study) == [f"{folder.name} had ended; told Optuna"]
    assert study.confirmations.get(number).values == [0.5]
    assert not (folder / CHECKPOINT_FILE).exists()
    assert recover(study) == []


def test_a_study_that_is_left_for_another_has_nothing_running(storage):
    with open_study(PLAN, storage) as opened:
        study = opened.study
        started(study.folder)
        study.trials.optuna_study.ask()
        started(study.trials.folder(0))
    with open_study(replace(PLAN, fingerprint="second"), storage) as opened:
        line = "tiny-1 was interrupted; closed its runs"
        assert close_others(opened.study) == [line]
        assert study.trials.get(0).state == TrialState.WAITING
        assert events(study.folder)[-1] == events(study.trials.folder(0))[-1] == "pause"
        assert close_others(opened.study) == []


def test_a_study_that_another_search_holds_is_left_alone(storage):
    with open_study(PLAN, storage) as held:
        held.study.trials.optuna_study.ask()
        with open_study(replace(PLAN, fingerprint="second"), storage) as opened:
            assert close_others(opened.study) == []
        assert held.study.trials.get(0).state == TrialState.RUNNING


def test_a_late_pause_does_not_undo_an_end(study):
    study.trials.optuna_study.ask()
    folder = study.trials.folder(0)
    late = started(folder)
    Journal(folder).write("end", status="FINISHED", tags={}, step=0, metrics={})
    Journal(folder).pause()
    assert Journal(folder).ended
    late.write("pause", tags={})  # by a process that did not see the end
    assert Journal(folder).ended


def test_a_trial_that_loses_its_worker_twice_is_failed_with_the_reason(study):
    for _ in range(2):
        assert study.trials.optuna_study.ask().number == 0
        journal = Journal(study.trials.folder(0))
        journal.write("begin", name="trial 000", tags={"kind": "trial"}, worker="1")
        study.trials.worker_died(0, "its process was killed by SIGKILL")
    (trial,) = study.trials.all()
    assert trial.state == TrialState.FAIL and trial.params == {}
    assert trial.user_attrs["reason"] == "its process was killed by SIGKILL, for the second time"
    assert events(study.trials.folder(0)) == ["begin", "pause", "begin", "start", "end"]
    last = Journal(study.trials.folder(0)).last
    assert last["status"] == "FAILED" and last["tags"]["reason"] == trial.user_attrs["reason"]


def test_a_worker_that_dies_after_its_trial_ended_costs_nothing(study):
    study.trials.optuna_study.ask()
    ended(study.trials.folder(0), "COMPLETE", values=[0.5])
    study.trials.worker_died(0, "its process was killed by SIGKILL")
    assert study.trials.all()[0].state == TrialState.COMPLETE


def test_a_trial_that_no_worker_took_is_failed_without_a_run(study):
    study.trials.optuna_study.ask()
    study.trials.fail(0, "no longer wanted")
    (trial,) = study.trials.all()
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "no longer wanted")
    assert not study.trials.folder(0).exists()


def asked_confirmation(study, of, seed):
    """Ask for a confirmation, and return its number."""
    confirmations = study.confirmations.optuna_study
    confirmations.enqueue_trial({"width": 1.0}, user_attrs={OF: of, SEED: seed})
    return confirmations.ask().number


def complete(study, score=0.5):
    trial = study.trials.optuna_study.ask(WIDTH)
    study.trials.optuna_study.tell(trial, score)
    return trial
