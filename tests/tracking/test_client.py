"""Where MLflow is, what it takes as names, and what its answers mean."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import (
    _validate_metric_name,
    _validate_param_name,
    _validate_tag_name,
)
from projects import copy_database

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


def test_an_answer_is_told_in_one_line_without_passwords(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:hunter2@db/mlflow")
    error = OSError("lost postgresql://ada:hunter2@db/mlflow\nand more")
    assert explain(error, tmp_path) == (
        "MLflow at postgresql://***@db/mlflow failed: OSError: lost postgresql://***@db/mlflow"
    )
