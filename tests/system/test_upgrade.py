"""A folder that version 0.2.0 wrote, under this version: its studies, its champion, its runs."""

import json

import httpx
import keras
import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from old_project import unpack
from optuna.trial import TrialState
from projects import here
from serving_project import Project

from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.registry.store import MNIST_MODEL


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder; the tests of a module share it."""
    return unpack(tmp_path_factory.mktemp("old"))


@pytest.fixture
def client(old):
    return MlflowClient(f"sqlite:///{old}/mlruns/mlflow.db")


def done(*arguments, cwd):
    """What a command printed that has to succeed."""
    ran = here(*arguments, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def refused(*arguments, cwd):
    """The one line of a command that has to be refused."""
    ran = here(*arguments, cwd=cwd)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    return line


def test_its_studies_and_trials_are_listed(old):
    _, tiny, begun = done("studies", cwd=old).splitlines()
    assert tiny.split()[:5] == ["tiny-1", "finished", "3", "of", "3"]
    assert begun.split()[:5] == ["begun-1", "unfinished", "2", "of", "6"]
    listed = json.loads(done("trials", "tiny", "--json", cwd=old))
    assert [trial["values"]["val_accuracy"] for trial in listed["trials"]] == pytest.approx(
        [0.3353, 0.5449, 0.2365], abs=1e-4
    )
    assert listed["trials"][1]["params"]["units"] == 12
    assert "169" in done("trials", "begun", cwd=old)  # epochs of a running trial


def test_its_champion_is_pulled_and_loads_in_plain_keras(old):
    done("pull", "--to", "pulled", cwd=old)
    model = keras.models.load_model(old / "pulled" / MODEL_FILE)
    assert model.predict(np.zeros((1, 28, 28, 1)), verbose=0).shape == (1, 10)


def test_a_run_that_it_trained_is_not_replayed_and_the_version_to_install_is_named(old, client):
    run = next(run for run in runs(client, "tiny") if run.data.tags["kind"] == "confirmation")
    line = refused("replay", run.info.run_id, cwd=old)
    assert "trained by mnist-cnn 0.2.0" in line and "install mnist-cnn 0.2.0" in line


@pytest.mark.slow
def test_a_study_of_it_is_not_extended(old):
    line = refused("search", "tiny", "--study", "tiny-1", "--trials", "4", cwd=old)
    assert "mnist-cnn changed since 'tiny-1'" in line and "opens a new study" in line


@pytest.mark.slow
def test_its_champion_is_served(old):
    with Project(old).served() as app:
        answer = httpx.post(f"{app.address}/api/predict", json={"image": [[0] * 28] * 28})
    assert answer.status_code == 200
    assert answer.json()["version"] == "1"


@pytest.mark.slow
def test_its_champion_is_evaluated_promoted_once_and_beats_a_worse_model_of_it(old, client):
    table = json.loads(done("evaluate", "--model", "champion", "--data", "tiny", "--json", cwd=old))
    assert table["accuracy"] == pytest.approx(0.4712)
    assert "is the champion already" in done("promote", "tiny", cwd=old)
    worse = next(r for r in runs(client, "tiny") if r.data.tags.get("optuna.trial") == "2")
    line = refused("promote", "tiny", "--run", worse.info.run_id, cwd=old)
    assert "26.78% of 10,000 test images" in line and "47.12%" in line
    champion = client.get_model_version_by_alias(MNIST_MODEL, "champion")
    assert str(champion.version) == "1"


@pytest.mark.slow
def test_its_killed_study_is_closed_with_a_line_and_a_new_one_is_searched(old, client):
    experiment = old / "experiments/begun.py"
    text = experiment.read_text().replace("trials=6", "trials=1").replace("epochs=200", "epochs=2")
    experiment.write_text(text)
    lines = done("search", "begun", "--workers", "1", cwd=old).splitlines()
    assert "begun-1 was interrupted; closed its runs" in lines
    assert "new study begun-2" in lines
    storage = f"sqlite:///{old}/mlruns/optuna.db"
    left = optuna.load_study(study_name="begun-1", storage=storage)
    assert [trial.state for trial in left.trials[2:]] == [TrialState.WAITING] * 2
    by_study = {"begun-1": [], "begun-2": []}
    for run in runs(client, "begun"):
        by_study[run.data.tags["journal"].split("/")[0]].append(run.info.status)
    assert sorted(by_study["begun-1"]) == ["FINISHED"] * 2 + ["KILLED"] * 3
    assert by_study["begun-2"] == ["FINISHED"] * 4  # the study's, a trial's, two confirmations'
    assert done("sync", cwd=old).splitlines() == [
        "begun-1: everything is in MLflow",
        "begun-2: everything is in MLflow",
        "tiny-1: everything is in MLflow",
    ]
    assert len(runs(client, "begun")) == 9
    assert "begun-2" in done("trials", "begun", cwd=old)
    tested = here("promote", "begun", cwd=old).stdout
    assert "test set of mnist-first-2000" in tested


def runs(client, experiment):
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id])
