"""Screening: which looks are continued, in made-up studies and in a real search."""

import subprocess
import sys

import optuna
import pytest
from faults import Search, agrees, make_project, trial_runs
from optuna.trial import TrialState

from mnist_cnn.experiment import Screen
from mnist_cnn.study.screening import (
    IN_FULL,
    LOOKED_AT,
    checkpoint_source,
    ends,
    enqueue_next,
    enqueue_unscreened,
    unused,
)

SCREEN = Screen(epochs=2, one_of=3)
SECONDS = "epoch_seconds"


def look(study, score):
    """Add a look with this score in its second epoch."""
    trial = study.ask()
    trial.report(0.5, 1)
    trial.report(score, 2)
    trial.set_user_attr(LOOKED_AT, {"units": trial.number})
    study.tell(trial, state=TrialState.PRUNED)


def gone_on(study):
    """The numbers of the looks that were continued, in this order."""
    return [t.user_attrs[IN_FULL] for t in study.trials if IN_FULL in t.user_attrs]


@pytest.mark.parametrize(
    ("direction", "scores"),
    [("maximize", [0.7, 0.9, 0.8]), ("minimize", [0.3, 0.1, 0.2])],
)
def test_the_best_look_is_continued_once_with_its_own_values(direction, scores):
    study = optuna.create_study(direction=direction)
    for number, score in enumerate(scores):
        assert gone_on(study) == []
        look(study, score)
        assert study.trials[-1].number == number
        enqueue_next(study, SCREEN)
    enqueue_next(study, SCREEN)
    assert gone_on(study) == [1]
    assert study.trials[3].state == TrialState.WAITING
    assert study.trials[3].system_attrs["fixed_params"] == {"units": 1}


def test_the_second_best_follows_when_there_are_twice_as_many():
    study = optuna.create_study(direction="maximize")
    for score in (0.1, 0.7, 0.6, 0.2, 0.3, 0.4):
        look(study, score)
    for _ in range(5):
        enqueue_next(study, SCREEN)  # the first one waits until it is asked for
    assert gone_on(study) == [1]
    first = study.ask()
    assert checkpoint_source(first) == 1
    enqueue_next(study, SCREEN)
    assert checkpoint_source(study.ask()) == 2
    assert unused(study) == [1, 2, 5, 4, 3, 0]
    study.tell(first, 0.7)
    assert unused(study) == [2, 5, 4, 3, 0]
    enqueue_next(study, SCREEN)
    assert gone_on(study) == [1, 2]


def test_only_trials_that_ended_with_a_score_are_counted():
    study = optuna.create_study(direction="maximize")
    look(study, float("nan"))
    for score in (0.7, 0.6):
        look(study, score)
    running = study.ask()
    running.report(0.9, 2)
    running.set_user_attr(LOOKED_AT, {})
    pruned = study.ask()  # by a pruner, before its look was over
    pruned.report(0.9, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    enqueue_next(study, SCREEN)
    assert gone_on(study) == []
    look(study, 0.5)
    enqueue_next(study, SCREEN)
    assert gone_on(study) == [1]


def test_a_look_ends_after_its_epochs_and_a_full_trial_does_not():
    study = optuna.create_study()
    enqueue_unscreened(study, {}, "baseline")
    baseline, screened = study.ask(), study.ask()
    assert [checkpoint_source(trial) for trial in (baseline, screened)] == [0, 1]
    assert [ends(SCREEN, screened, epoch) for epoch in (1, 2, 3)] == [False, True, True]
    assert not any(ends(SCREEN, baseline, epoch) for epoch in (1, 2, 3))
    assert not any(ends(None, screened, epoch) for epoch in (1, 2, 3))


def test_a_search_that_only_looked_says_so_and_then_continues_the_better_half(
    tmp_path, monkeypatch
):
    root = make_project(
        tmp_path,
        screened="space=harmless, trials=1, epochs=3, baseline=(), "
        "screen=Screen(epochs=1, one_of=2)",
    )
    code, _, err = Search(root, experiment="screened").finish()
    assert code == 1
    told = err.splitlines()[-1]
    assert "screened-1: configurations screened: 1, trained in full: none; " in told
    assert "`make search EXPERIMENT=screened STUDY=screened-1 TRIALS=` and more than 1" in told
    search = Search(root, "--study", "screened-1", "--trials", "6", experiment="screened")
    code, _, err = search.finish()
    assert code == 0, err
    study, client, _, runs = agrees(root, "screened-1")
    of_trial = trial_runs(runs)

    def first_epoch(number):  # with the seconds that it took, which no second training repeats
        run_id = of_trial[number].info.run_id
        return [client.get_metric_history(run_id, name)[0].value for name in ("loss", SECONDS)]

    looks: dict[int, float] = {}
    tried: dict[int, int] = {}
    for trial in study.trials:
        if (of := trial.user_attrs.get(IN_FULL)) is None:
            assert trial.state == TrialState.PRUNED
            assert trial.user_attrs["reason"] == "looked at up to epoch 1"
            assert list(trial.intermediate_values) == [1]
            looks[trial.number] = trial.intermediate_values[1]
        else:
            assert trial.state == TrialState.COMPLETE
            assert trial.params == study.trials[of].params
            assert list(trial.intermediate_values) == [1, 2, 3]
            assert of in sorted(looks, key=looks.__getitem__, reverse=True)[: len(looks) // 2]
            assert of_trial[trial.number].data.tags["optuna.in_full"] == str(of)
            assert first_epoch(trial.number) == first_epoch(of)
            assert of not in tried
            tried[of] = trial.number
    assert len(tried) == 6 - len(looks) >= 2
    # Trained from the beginning, without its look's checkpoint, one comes to the same.
    run_id = of_trial[max(tried.values())].info.run_id
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow left it in this process
    replay = [sys.executable, "-m", "mnist_cnn", "replay", run_id]
    told = subprocess.run(replay, cwd=root, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.splitlines()[-1].startswith("identical: 3 epochs of metrics, weights ")
