"""A whole search in a folder of an odd name, of models that only their project can load.

It is of a grid that is smaller than the trials that are asked for, while MLflow's server is away.
"""

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from projects import clean_environment, copy_project, here
from serving_project import free_port, wait_for

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.table import show_evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.promotion.promote import Request, promote
from mnist_cnn.registry import store
from mnist_cnn.registry.store import MNIST_MODEL
from mnist_cnn.serving.champion import Watcher
from mnist_cnn.tracking.client import connect
from mnist_cnn.urls import sqlite_url

pytestmark = pytest.mark.compatibility

AWAY = "http://ada:hunter2@127.0.0.1:9"

SPACE = """
import keras
from keras import layers


@keras.saving.register_keras_serializable(package="mine")
class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


def own_layer(hp):
    i = keras.Input((28, 28, 1))
    x = layers.Flatten()(Doubled()(layers.MaxPooling2D(4)(i)))
    x = layers.Dense(hp.Choice("units (hidden)", [4, 8]), activation="relu")(x)
    model = keras.Model(i, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
EXPERIMENT = """
from dataclasses import replace
from functools import partial

import optuna

from experiments.smoke import experiment as smoke
from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import Confirm
from search_spaces.own_layer import own_layer


def few():
    return mnist().first(600)


grid = partial(optuna.samplers.GridSampler, {"units (hidden)": [4, 8]})
experiment = replace(
    smoke, space=own_layer, dataset=few, sampler=grid, trials=5, epochs=1, baseline=(),
    confirm=Confirm(trials=0), timeout_seconds=3600,
)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("projects") / "a b#c 50% what?now größe"
    made.mkdir()
    copy_project(made)
    (made / "search_spaces/own_layer.py").write_text(SPACE)
    (made / "experiments/own.py").write_text(EXPERIMENT)
    return made


@pytest.fixture(scope="module")
def searched(root):
    """What the search printed. Everything is in MLflow afterwards, by a second command."""
    done = here("search", "own", "--workers", "1", cwd=root, MLFLOW_TRACKING_URI=AWAY)
    assert done.returncode == 0 and "hunter2" not in done.stdout + done.stderr, done.stderr
    synced = here("sync", cwd=root)
    assert synced.stdout == "own-1: everything is in MLflow\n", synced.stderr
    return done.stdout


@pytest.fixture
def client(searched, root, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    return connect(root / "mlruns")


def test_it_ends_when_the_grid_has_nothing_left(searched, root):
    assert "the sampler finds nothing new to try" in searched
    study = optuna.load_study(study_name="own-1", storage=sqlite_url(root / "mlruns/optuna.db"))
    assert sorted(trial.params["units (hidden)"] for trial in study.trials) == [4, 8]


def test_both_databases_are_in_the_project_and_nothing_is_beside_it(client, root):
    assert [path.name for path in root.parent.iterdir()] == [root.name]
    assert {"optuna.db", "mlflow.db"} <= {path.name for path in (root / "mlruns").iterdir()}
    runs = client.search_runs([client.get_experiment_by_name("own").experiment_id])
    assert sorted(run.data.tags["kind"] for run in runs) == ["study", "trial", "trial"]


def test_a_server_that_is_away_is_told_without_the_password(searched, root):
    assert "MLflow at http://***@127.0.0.1:9 cannot be reached" in searched
    # Not read in this process: closing a database's file gives up SQLite's locks of it.
    found = subprocess.run(["grep", "-rl", "hunter2", "mlruns"], cwd=root, capture_output=True)
    assert (found.returncode, found.stdout) == (1, b"")


def test_that_its_models_are_not_served_is_told_at_the_start(searched, root):
    line = "search only: promote and serve will refuse its models: cannot load the model of the"
    lines = searched.splitlines()
    [told] = [place for place, text in enumerate(lines) if text.startswith(line)]
    first_trial = next(place for place, text in enumerate(lines) if "  trial 000 " in text)
    assert told < first_trial and "Could not locate class 'Doubled'" in lines[told]
    assert "make promote" not in searched
    report = root / "mlruns/checkpoints/own-1/report.html"
    assert "make promote" not in report.read_text()


def test_promote_evaluate_and_serve_refuse_them_alike(client, root, searched):
    file = root / "mlruns/checkpoints/own-1/digit_recog_mnist_cnn.keras"
    refused = "cannot load the model .*: Could not locate class 'Doubled'"
    with ModelWorker() as worker:
        with pytest.raises(UserError, match=refused):
            promote(Request(experiment=ExperimentId("own")), worker)
        with pytest.raises(UserError, match=refused):
            show_evaluation(str(file), "own", worker)
    assert store.versions(client, MNIST_MODEL) == []
    make_champion(client, file)
    watcher = Watcher()
    watcher.look()
    assert watcher.champion is None
    assert "cannot be served: " in watcher.problem
    assert "Could not locate class 'Doubled'" in watcher.problem


def make_champion(client: MlflowClient, file: Path) -> None:
    """As somebody does by hand, past promotion."""
    number = client.get_experiment_by_name("own").experiment_id
    logged = client.create_logged_model(number, "by-hand")
    client.log_model_artifacts(logged.model_id, str(file.parent))
    client.finalize_logged_model(logged.model_id, "READY")
    version = store.register(client, MNIST_MODEL, logged.model_id, "", "by hand", {})
    client.set_registered_model_alias(store.MNIST_MODEL, "champion", version)


def test_the_pages_show_its_runs_and_their_files(client, root):
    with pages(root) as address:
        asked = json.dumps({"max_results": 9}).encode()
        found = fetch(f"{address}/api/2.0/mlflow/experiments/search", asked)
        assert "own" in {one["name"] for one in json.loads(found)["experiments"]}
        number = client.get_experiment_by_name("own").experiment_id
        run = client.search_runs([number], "tags.kind = 'trial'")[0].info.run_id
        picture = fetch(f"{address}/get-artifact?run_uuid={run}&path=curves.png")
        assert picture.startswith(b"\x89PNG")


def fetch(address, content=None):
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(address, content, headers)) as answer:
        return answer.read()


@contextmanager
def pages(root):
    """MLflow's pages, by the command `ui`; gives their address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mnist_cnn", "ui", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        command, cwd=root, env=clean_environment(), start_new_session=True, **quiet
    ) as ui:

        def up():
            assert ui.poll() is None
            try:
                return bool(fetch(f"{address}/health"))
            except OSError:
                return False

        try:
            wait_for(up, 120)
            yield address
        finally:
            os.killpg(ui.pid, 15)
