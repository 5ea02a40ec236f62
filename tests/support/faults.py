"""Real searches in real processes for the tests that break them, and what must hold afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import optuna
from mlflow import MlflowClient
from optuna.trial import TrialState
from projects import copy_database, copy_project

from mnist_cnn.datasets import mnist, split
from mnist_cnn.mlruns import CHECKPOINT_FILE, confirmation_folder
from mnist_cnn.study.chains import REPEATS, RUNG, is_lost, superseded, tried
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.study.study import CHECKPOINTS_KEPT, OF, SEED
from mnist_cnn.workers.signals import STOPPING

STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


# Small networks with all that a training has to keep: weights, moving averages, a state of dropout,
# moments of the optimizer. Where `trap` is not "none", training does not go well; building and
# evaluating does, so that the look before the first trial finds nothing. Traps are set by baselines
# and never sampled: an experiment on `traps` has as many trials as baselines.
TRAPS = """
import os, signal, time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(10_000)


def dawdle():
    Path("dawdler").write_text(str(os.getpid()))
    time.sleep(0.03)


def swallow():
    taken = [np.ones(2**24) for _ in range(64)]  # 8 GiB


DEEDS = {"kill": kill, "hang": hang, "slow": dawdle, "swallow": swallow}


class Trapped(keras.optimizers.Adam):
    def __init__(self, rate, trap):
        super().__init__(rate)
        self.trap = trap

    def apply(self, grads, trainable_variables=None):
        if self.trap == "crash":
            raise ValueError("a batch that cannot be computed")
        if self.trap == "nan":
            grads = [grad * float("nan") for grad in grads]
        if self.trap in DEEDS:
            tf.py_function(DEEDS[self.trap], [], [])
        super().apply(grads, trainable_variables)


def traps(hp):
    return network(hp, hp.Choice("trap", ["none", "huge", "crash", "nan", *DEEDS]))


def harmless(hp):
    return network(hp, "none")


def smallest(hp):
    shrunk = [keras.Input((28, 28, 1)), layers.MaxPooling2D(7), layers.Flatten()]
    model = keras.Sequential([*shrunk, layers.Dense(10, activation="softmax")])
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log", default=0.03)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


def network(hp, trap):
    x = inputs = keras.Input((28, 28, 1))
    if trap == "huge":
        x = layers.Conv2D(4000, 1)(x)
        for _ in range(50):
            x = layers.Activation("linear")(x)
    x = layers.MaxPooling2D(hp.Choice("pool", [4, 7]))(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(10, activation="softmax", dtype="float32")(x)
    model = keras.Model(inputs, outputs)
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log", default=0.03)
    loss = "sparse_categorical_crossentropy"
    model.compile(Trapped(rate, trap), loss, metrics=["accuracy"])
    return model
"""

EXPERIMENT = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Confirm, Screen
from search_spaces.traps import harmless, smallest, traps

BEFORE = {{
    "space": traps, "timeout_seconds": None, "confirm": Confirm(trials=1, seeds=1, max_seeds=1)
}}
experiment = replace(smoke, **BEFORE | dict({changes}))
"""


def make_project(root, **experiments):
    """A project's root with the real experiments and spaces, and experiments on the traps.

    Each is given by its name and what it changes of the smoke experiment.
    """
    copy_project(root)
    copy_database(root / "mlruns")
    (root / "search_spaces/traps.py").write_text(TRAPS)
    for name, changes in experiments.items():
        (root / f"experiments/{name}.py").write_text(EXPERIMENT.format(changes=changes))
    return root


class Search:
    """The command `search`, running in a process group of its own."""

    def __init__(
        self,
        root,
        *arguments,
        experiment="smoke",
        workers=1,
        env=None,
        before=lambda: None,
        within=(),
    ):
        def prepare():
            for number in STOPPING:  # a shell's background job ignores some of them
                signal.signal(number, signal.SIG_DFL)
            before()

        self.root, self.experiment = root, experiment
        command = [sys.executable, "-m", "mnist_cnn", "search", experiment]
        command += ["--workers", str(workers)]
        self.process = subprocess.Popen(
            [*within, *command, *arguments],
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
        pattern = f"mlruns/checkpoints/{self.experiment}-*/**/journal.jsonl"
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

    def orphan(self):
        """SIGKILL to the search process alone; returns when its workers are gone as well."""
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        limit = time.monotonic() + 30
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < limit, "a worker lives on without its search"
            time.sleep(0.01)
        self.process.communicate()

    def wait_for_epoch(self):
        """Wait until one more epoch is done; how many seconds that took."""
        before = epochs(self.events())
        began = time.monotonic()
        assert self.wait_for(lambda events: epochs(events) > before), self.finish()
        return time.monotonic() - began

    def finish(self, seconds=300):
        """Wait for the end: (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def workers(self):
        """Process ids of the training processes, in the order of their start."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def epochs(events):
    """How many epochs of trials and confirmations the events tell of."""
    return sum("epoch_seconds" in event.get("metrics", ()) for event in events)


def load_study(root, name, storage=None):
    storage = storage or f"sqlite:///{root}/mlruns/optuna.db"
    return optuna.load_study(study_name=name, storage=storage)


def nothing_runs(root, name):
    """Assert that neither Optuna nor MLflow holds anything of a stopped search for running."""
    study, _, runs = found(root, name)
    assert stuck(study, runs) == 0


def agrees(root, name, uri=None, storage=None, winners=1):
    """Assert that Optuna, MLflow and the files tell the same of a finished study.

    It has had at most so many winners, each of which is a model in MLflow.
    """
    study, client, runs = found(root, name, uri, storage)
    assert losses(study, client, runs) == NOTHING_LOST
    (parent,) = (run for run in runs if run.data.tags["kind"] == "study")
    by_number = trial_runs(runs)
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    stopped = {trial.number for trial in study.trials if STOPPED in trial.user_attrs}
    reported = max((sorted(trial.intermediate_values) for trial in study.trials), key=len)
    if not stopped:  # with screening, not every epoch is validated
        assert reported == list(range(1, len(reported) + 1))
    kept = set()  # checkpoints
    for trial in study.trials:
        if REPEATS in trial.user_attrs:
            assert trial.state == TrialState.FAIL
            continue
        run = by_number[trial.number]
        assert run.info.status == STATUS[trial.state]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        steps = sorted(trial.intermediate_values)
        assert steps == reported[: len(steps)]
        folder = root / "mlruns" / "checkpoints" / run.data.tags["journal"]
        if (folder / CHECKPOINT_FILE).exists():
            kept.add(trial.number)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and max(steps, default=0) > 1:
            assert "curves.png" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept <= stopped - superseded(study.trials)
    rungs = {trial.user_attrs.get(RUNG, 0) for trial in study.trials}
    assert len(kept) <= CHECKPOINTS_KEPT * len(rungs)
    confirmations_agree(root, name, runs, storage)
    models = client.search_logged_models(
        [parent.info.experiment_id], f"source_run_id = '{parent.info.run_id}'"
    )
    assert len(models) <= winners and all(model.status == "READY" for model in models)
    return study, client, parent, runs


def confirmations_agree(root, name, runs, storage):
    """Assert that each confirmation was made once, and ended in Optuna and MLflow alike."""
    confirmations = load_study(root, f"{name}.confirm", storage).trials
    keys = [(trial.user_attrs[OF], trial.user_attrs[SEED]) for trial in confirmations]
    assert len(keys) == len(set(keys))
    by_journal = {run.data.tags["journal"]: run for run in runs}
    for key, trial in zip(keys, confirmations, strict=True):
        run = by_journal.pop(str(confirmation_folder(Path(name), *key)), None)
        # One that was no longer wanted may have failed before a worker came to it.
        assert (
            trial.state == TrialState.FAIL
            if run is None
            else run.info.status == STATUS[trial.state]
        )
    assert not any(run.data.tags["kind"] == "confirmation" for run in by_journal.values())


def found(root, name, uri=None, storage=None):
    """A study, a client of MLflow, and the study's runs there."""
    client = MlflowClient(uri or f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name(name.rpartition("-")[0])
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    runs = [run for run in runs if run.data.tags["journal"].split("/")[0] == name]
    return load_study(root, name, storage), client, runs


def trial_runs(runs):
    """The runs of trials, by their numbers."""
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    return {int(run.data.tags["optuna.trial"]): run for run in trials}


NOTHING_LOST = {"lost_trials": 0, "lost_metrics": 0, "stuck_runs": 0}


def losses(study, client, runs):
    """How much of a finished study is lost, doubled or different between Optuna and MLflow."""
    by_number, metric = trial_runs(runs), study.user_attrs["metrics"][0]
    lost_metrics = 0
    for trial in study.trials:
        history = []
        if trial.number in by_number:
            run_id = by_number[trial.number].info.run_id
            history = client.get_metric_history(run_id, metric)
        there = sorted((each.step, each.value) for each in history)
        wanted = sorted(trial.intermediate_values.items())
        if is_lost(trial):  # what it reported last may not have arrived; what continues it has it
            wanted = wanted[:-1] + [value for value in wanted[-1:] if value in there]
        lost_metrics += sum((Counter(there) - Counter(wanted)).values())
        lost_metrics += sum((Counter(wanted) - Counter(there)).values())
    journals = Counter(run.data.tags["journal"] for run in runs)
    ended = tried([trial for trial in study.trials if trial.state.is_finished()])
    with_run = {trial.number for trial in study.trials if REPEATS not in trial.user_attrs}
    return {
        "lost_trials": max(0, study.user_attrs["trials"] - ended)
        + len(with_run ^ set(by_number))
        + sum(journals.values())
        - len(journals),
        "lost_metrics": lost_metrics,
        "stuck_runs": stuck(study, runs),
    }


def stuck(study, runs):
    """How many trials and runs are held for running."""
    return sum(trial.state == TrialState.RUNNING for trial in study.trials) + sum(
        run.info.status == "RUNNING" for run in runs
    )


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


class Server:
    """MLflow's server, on a port of its own, with a database and artifacts under `root`."""

    def __init__(self, root):
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.root}/server.db"]
        command += ["--artifacts-destination", str(self.root / "server-artifacts")]
        self.process = subprocess.Popen(
            command,
            cwd=self.root,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(900):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("MLflow's server did not start")

    def kill(self):
        """SIGKILL to it and its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
