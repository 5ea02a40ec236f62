"""Real searches in real processes for the tests that break them, and what must hold afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import optuna
from mlflow import MlflowClient
from optuna.trial import TrialState

from mnist_cnn.datasets import mnist, split

ROOT = Path(__file__).parent.parent
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


def make_project(root, **files):
    """A project's root with the real experiments and spaces, and these files beside them."""
    for name in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in files.items():
        (root / path.replace("__", "/")).with_suffix(".py").write_text(text)
    return root


class Search:
    """The command `search`, running in a process group of its own."""

    def __init__(self, root, *arguments, experiment="smoke", env=None, before=lambda: None):
        def prepare():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
            before()

        self.root, self.experiment = root, experiment
        command = [sys.executable, "-m", "mnist_cnn", "search", "--experiment", experiment]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=root,
            # MLflow leaves its tracking URI in a process which used it.
            env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,
        )

    def events(self):
        """All events of all journals of the experiment's studies so far."""
        pattern = f"mlruns/checkpoints/{self.experiment}-*/*/journal.jsonl"
        lines = [line for path in self.root.glob(pattern) for line in path.open()]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, condition, seconds=120):
        """Wait until `condition(events)` holds; False if the search ended before."""
        for _ in range(seconds * 20):
            if condition(self.events()):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.05)
        raise AssertionError(f"not reached in {seconds} s")

    def kill(self):
        """SIGKILL to the whole process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def finish(self, seconds=300):
        """Wait for the end: (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def workers(self):
        """Process ids of the training processes, in the order of their start."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def load_study(root, name):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{root}/mlruns/optuna.db")


def agrees(root, name, uri=None):
    """Assert that Optuna, MLflow and the files tell the same of a finished study."""
    study = load_study(root, name)
    client = MlflowClient(uri or f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name(name.rpartition("-")[0])
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    runs = [run for run in runs if run.data.tags["journal"].split("/")[0] == name]
    assert all(run.info.status != "RUNNING" for run in runs)
    (parent,) = (run for run in runs if run.data.tags["kind"] == "study")
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    by_number = {int(run.data.tags["optuna.trial"]): run for run in trials}
    assert len(by_number) == len(trials) == len(study.trials)
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    for trial in study.trials:
        run = by_number[trial.number]
        assert run.info.status == STATUS[trial.state]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        steps = sorted(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        history = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [m.step for m in history] == steps
        assert [m.value for m in history] == [trial.intermediate_values[s] for s in steps]
        folder = root / "mlruns" / "checkpoints" / run.data.tags["journal"]
        assert not (folder / "checkpoint.npz").exists()
    return study, client, parent, runs


def best_model_scores_what_is_recorded(study, client, parent, runs):
    """Assert that the best model loads in plain Keras and is as good as its run says."""
    path = client.download_artifacts(parent.info.run_id, "digit_recog_mnist_cnn.keras")
    model = keras.models.load_model(path)
    _, validation = split(mnist().first(3000).train(), 1 / 6, 0)
    given = np.asarray(model.predict(validation.x, verbose=0)).argmax(axis=1)
    recorded = [
        run.data.metrics["best_val_accuracy"]
        for run in runs
        if run.data.tags["kind"] == "confirmation"
    ]
    found = float(np.mean(given == validation.y))
    assert any(abs(found - value) < 1e-6 for value in recorded)
