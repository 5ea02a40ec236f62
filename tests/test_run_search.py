"""The search process: what it makes of workers that are lost, with real ones."""

import io
import math
import os
import signal
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console
from studies import PLAN, ended, started

from mnist_cnn import run_search
from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.run_search import Request, Search
from mnist_cnn.study.opening import open_study
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.workers.pool import Workers


def die_at_once(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_trial(experiment, study, storage, number, folder):
    Journal(folder).write("begin", name=f"trial {number:03d}", tags={"kind": "trial"}, worker="1")
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    ended(folder, "COMPLETE", values=[0.5], summary={"best_val_accuracy": 0.5})


def never_end(experiment, study, storage, number, folder):
    started(folder)
    signal.pause()


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A search of a new study, on one worker, of trials that do what is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()

    def run(trial, until=lambda study: False):
        monkeypatch.setattr(run_search.tasks, "trial", trial)
        request = Request(experiment=ExperimentId("tiny"))
        console = Console(file=io.StringIO(), width=100)
        url = f"sqlite:///{tmp_path}/optuna.db"
        with open_study(PLAN, url) as opened, Workers([{}], Path("log")) as workers:
            one = Search(opened, request, workers, console)
            study = opened.study
            one.run_on_workers(one._next_trial, lambda: 0.0 if until(study) else math.inf)
            return study

    return run


def test_workers_that_die_before_their_trial_begins_stop_the_search(search, tmp_path):
    with pytest.raises(UserError) as refusal:
        search(die_at_once)
    line = str(refusal.value)
    assert "2 workers in a row ended before their trial began" in line and "SIGKILL" in line
    with open_study(PLAN, f"sqlite:///{tmp_path}/optuna.db") as opened:
        states = [trial.state for trial in opened.study.trials.all()]
        assert states == [TrialState.WAITING]
        assert "deaths" not in opened.study.trials.get(0).user_attrs


def test_a_trial_that_kills_its_worker_twice_is_failed_and_the_others_go_on(search):
    study = search(die_in_the_trial)
    states = [trial.state for trial in study.trials.all()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert "for the second time" in study.trials.get(0).user_attrs["reason"]


def test_what_runs_at_the_deadline_waits_to_go_on(search):
    study = search(never_end, until=lambda study: Journal(study.folder / "trial-00000").started)
    assert [trial.state for trial in study.trials.all()] == [TrialState.WAITING]
    assert Journal(study.trials.folder(0)).last["event"] == "pause"
