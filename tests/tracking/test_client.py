"""Where MLflow is, what it takes as names, and what its answers mean."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.artifacts import download_artifacts
from mlflow.utils.validation import (
    _validate_metric_name,
    _validate_param_name,
    _validate_tag_name,
)
from projects import copy_database

from mnist_cnn.registry import store
from mnist_cnn.tracking.client import connect, experiment_id, explain, tracking_uri, valid_name
from mnist_cnn.urls import sqlite_file, sqlite_url

ODD = ("rate (encoder)", "rate [encoder]", "größe/学習率", "a//b", "a/./b", "/a", "a", "")


def test_two_projects_of_one_process_have_their_own_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("one", "two"):
        folder = tmp_path / name
        copy_database(folder)
        client = connect(folder)
        assert sqlite_file(client.tracking_uri) == folder / "mlflow.db"
        assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_url(tmp_path / "one/mlflow.db"))
    assert sqlite_file(connect(folder).tracking_uri) == tmp_path / "one/mlflow.db"
    assert "MLFLOW_TRACKING_URI" in os.environ


@given(st.text() | st.sampled_from(ODD))
def test_mlflow_takes_every_name(name):
    valid = valid_name(name)
    for validate in (_validate_param_name, _validate_metric_name, _validate_tag_name):
        validate(valid)


@given(st.lists(st.text("ab([_/. \n", max_size=6) | st.sampled_from(ODD), unique=True))
def test_two_names_stay_two(names):
    assert len({valid_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["learning_rate", "block/units", "a.b-c: d", "größe", "x" * 250])
def test_a_name_that_mlflow_takes_stays_as_it_is(name):
    assert valid_name(name) == name


def test_long_names_that_differ_at_their_end_stay_two():
    assert valid_name("x" * 300 + "a") != valid_name("x" * 300 + "b")


@pytest.mark.parametrize("folder", ["what?now", "a b#c", "50%", "größe"])
def test_runs_and_their_files_are_in_the_projects_folder(tmp_path, folder, monkeypatch):
    mlruns = tmp_path / folder / "mlruns"
    mlruns.parent.mkdir()
    copy_database(mlruns)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert sqlite_file(tracking_uri(mlruns)) == mlruns / "mlflow.db"
    client = connect(mlruns)
    run = client.create_run(experiment_id(client, "odd", mlruns)).info
    (tmp_path / "note.txt").write_text("found")
    client.log_artifact(run.run_id, str(tmp_path / "note.txt"))
    assert (mlruns / "artifacts" / "odd" / run.run_id / "artifacts/note.txt").exists()
    found = client.download_artifacts(run.run_id, "note.txt", str(tmp_path))
    assert Path(found).read_text() == "found"
    assert {path.name for path in tmp_path.iterdir()} == {folder, "note.txt"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a run and a registered model, which have a file `note.txt` each."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "a b#c 50% größe"
    root.mkdir()
    copy_database(root / "mlruns")
    client = connect(root / "mlruns")
    number = experiment_id(client, "odd", root / "mlruns")
    run = client.create_run(number).info.run_id
    # Not by MLflow, which keeps in mind where a run's files are until the process ends.
    write_note(root / "mlruns/artifacts/odd" / run / "artifacts")
    write_note(tmp_path / "notes")
    logged = client.create_logged_model(number, "model", source_run_id=run)
    client.log_model_artifacts(logged.model_id, str(tmp_path / "notes"))
    client.finalize_logged_model(logged.model_id, "READY")
    store.register(client, "net", logged.model_id, run, "", {})
    return root


def write_note(folder, text="first"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "note.txt").write_text(text)


def only_run(client):
    (run,) = client.search_runs([client.get_experiment_by_name("odd").experiment_id])
    return run.info


def notes_in(root):
    """What the files of MLflow in a project say, in order."""
    return sorted(file.read_text() for file in (root / "mlruns/artifacts").rglob("note.txt"))


def downloaded(client, uri, to):
    to.mkdir()
    return (Path(download_artifacts(uri, dst_path=str(to))) / "note.txt").read_text()


@pytest.mark.parametrize("copied", [False, True])
def test_in_a_project_that_was_moved_or_copied_files_are_found_and_written(
    project, copied, tmp_path
):
    other = tmp_path / "what?now"
    if copied:
        shutil.copytree(project, other)
    else:
        project.rename(other)
    client = connect(other / "mlruns")
    run = only_run(client)
    write_note(tmp_path / "notes", "second")
    client.log_artifact(run.run_id, str(tmp_path / "notes/note.txt"), "again")
    new = client.create_run(run.experiment_id).info
    write_note(tmp_path / "notes", "third")
    client.log_artifact(new.run_id, str(tmp_path / "notes/note.txt"))
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["again", "note.txt"]
    client.set_registered_model_alias("net", "champion", "1")
    assert downloaded(client, "models:/net@champion", tmp_path / "model") == "first"
    assert notes_in(other) == ["first", "first", "second", "third"]
    assert project.exists() == copied
    if copied:
        assert notes_in(project) == ["first", "first"]
        assert only_run(connect(project / "mlruns")).artifact_uri.startswith(project.as_uri())


def test_files_that_are_in_the_former_folder_only_are_found_there(project, tmp_path):
    """As after a copy of the database alone."""
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("artifacts"))
    client = connect(other / "mlruns")
    run = only_run(client)
    found = client.download_artifacts(run.run_id, "note.txt", str(tmp_path))
    assert Path(found).read_text() == "first"
    new = client.create_run(run.experiment_id).info
    write_note(tmp_path / "notes", "second")
    client.log_artifact(new.run_id, str(tmp_path / "notes/note.txt"))
    assert (notes_in(project), notes_in(other)) == (["first", "first"], ["second"])


def test_places_that_the_user_has_chosen_stay(project, tmp_path):
    client = connect(project / "mlruns")
    chosen = (tmp_path / "disk/artifacts/mine").as_uri()
    number = client.create_experiment("mine", artifact_location=chosen)
    project.rename(tmp_path / "other")
    client = connect(tmp_path / "other/mlruns")
    assert client.get_experiment(number).artifact_location == chosen
    assert client.create_run(number).info.artifact_uri.startswith(chosen)


def test_an_answer_is_told_in_one_line_without_passwords(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:hunter2@db/mlflow")
    error = OSError("lost postgresql://ada:hunter2@db/mlflow\nand more")
    assert explain(error, tmp_path) == (
        "MLflow at postgresql://***@db/mlflow failed: OSError: lost postgresql://***@db/mlflow"
    )
