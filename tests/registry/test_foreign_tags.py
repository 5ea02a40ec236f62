"""Tags of MLflow that somebody else has set, or that MLflow has cut off, stop nothing."""

import json
from pathlib import Path

import pytest
from mlflow.entities import Run, RunData, RunInfo, RunTag
from projects import connected

from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.mlruns import trial_folder
from mnist_cnn.promotion import card
from mnist_cnn.registry import aliases, store
from mnist_cnn.registry.aliases import MOVE, Aliases
from mnist_cnn.registry.models import FoundModel
from mnist_cnn.registry.store import MNIST_MODEL, TEST_CORRECT, TEST_IMAGES
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal

FOREIGN = ["", "no JSON", "7", "[]", "{}", '{"from": 1, "to": {}}', '{"from": {"champion": "1"']


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Of a registry without versions."""
    with connected(tmp_path_factory.mktemp("project")) as made:
        made.create_registered_model(MNIST_MODEL)
        yield made


@pytest.mark.parametrize("text", FOREIGN)
def test_a_move_that_cannot_be_read_is_left_alone(client, text):
    client.set_registered_model_tag(MNIST_MODEL, MOVE, text)
    assert aliases.finish(client, MNIST_MODEL) is None
    assert client.get_registered_model(MNIST_MODEL).tags == {MOVE: text}
    assert aliases.current(client, MNIST_MODEL) == Aliases(None, None)


def test_an_opening_that_cannot_be_read_is_not_counted(client):
    experiment = client.create_experiment("foreign")
    for text in FOREIGN:
        own = {lockbox.OPENINGS: text, f"{lockbox.OPENED}once": text}
        client.create_run(experiment, tags=own)
    run = client.create_run(experiment).info.run_id
    model = FoundModel(
        title="it", file=Path("it.keras"), digest="a" * 64, run_id=run, model_id=None
    )
    data = DataInfo(name="mnist", digest="b" * 64, test_id="b" * 64, is_test_set=True)
    opening = lockbox.record(client, model, "d" * 64, data, "promote")
    assert (opening.count, opening.total) == (1, 1)


def test_a_version_whose_score_cannot_be_read_is_not_compared(client):
    for correct in ("many", "", "-1", "7"):
        own = {TEST_IMAGES: "c" * 64, TEST_CORRECT: correct}
        client.create_model_version(MNIST_MODEL, "file:///nowhere", tags=own)
    client.create_model_version(MNIST_MODEL, "file:///nowhere", tags={TEST_IMAGES: "c" * 64})
    (found,) = store.versions_tested_on(client, MNIST_MODEL, "c" * 64)
    assert found.tags[TEST_CORRECT] == "7"


@pytest.fixture
def recipe():
    """Of a space with so many hyperparameters that MLflow cuts its tag off."""
    values = {f"units_{number}": number for number in range(1000)}
    return json.dumps({"values": values, "versions": {"keras": "3.1"}})


def training_run(recipe, folder=""):
    return run_with({tags.RECIPE: recipe, tags.JOURNAL: folder})


def run_with(own):
    info = RunInfo("id", "1", "ada", "FINISHED", 0, 0, "active")
    return Run(info, RunData(tags=[RunTag(name, text) for name, text in own.items()]))


def test_the_card_has_the_versions_of_a_recipe_that_mlflow_has_cut_off(
    tmp_path, monkeypatch, recipe
):
    monkeypatch.chdir(tmp_path)
    journal = Journal(trial_folder(tmp_path / "mlruns/checkpoints/mnist-1", 3))
    journal.write("start", tags={tags.RECIPE: recipe})
    journal.write("tags", tags={tags.WEIGHTS: "a" * 64})
    cut = recipe[:8000]
    assert card._versions(training_run(cut, "mnist-1/trial-00003")) == {"keras": "3.1"}
    assert card._versions(training_run(cut)) == {"unknown": "versions"}  # on another machine
    assert card._versions(training_run('{"versions": {"keras": "3"}}')) == {"keras": "3"}


@pytest.mark.parametrize("text", [*FOREIGN, '{"versions": 3}'])
def test_the_card_of_a_run_with_a_foreign_recipe_has_no_versions(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert card._versions(training_run(text)) == {"unknown": "versions"}


def test_the_card_leaves_out_what_only_an_earlier_winner_had():
    study = run_with({"best.param.units": "8", "best.param.filters_3": "", "best.trial": "3"})
    assert card._hyperparameters(study) == {"units": "8"}
