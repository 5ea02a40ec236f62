"""Journals become runs in a real MLflow store, once, no matter how often they are delivered."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from projects import copy_database

from mnist_cnn.errors import UserError
from mnist_cnn.tracking.client import connect, experiment_id, tracking_uri
from mnist_cnn.tracking.delivery import Delivery
from mnist_cnn.tracking.experiment_lock import lock_experiment
from mnist_cnn.tracking.journal import FILE_NAME, Journal, read
from mnist_cnn.tracking.sync import Deliverer, deliver_all
from mnist_cnn.training.export import write_mlflow_model

DIGEST = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"


@pytest.fixture
def client(mlruns) -> MlflowClient:
    return connect(mlruns)


@pytest.fixture
def name(request):
    """The name of the test's own MLflow experiment."""
    return request.node.name.replace("[", "-").replace("]", "")


@pytest.fixture
def folder(mlruns, name):
    """The folder of a study of that experiment."""
    return mlruns / "checkpoints" / f"{name}-1"


@pytest.fixture
def deliver(mlruns, client, name, folder):
    """Deliver the study as a new process does. Return its runs by the names of their folders."""

    def deliver_and_look():
        number = experiment_id(client, name, mlruns)
        Delivery(client, number, folder).deliver()
        return runs_of(client, number)

    return deliver_and_look


# A study with its trials


def test_a_study_becomes_a_run_and_its_trials_runs_below_it(folder, deliver):
    write_study(folder)
    runs = deliver()
    assert set(runs) == {folder.name, "trial-00000", "trial-00001", "trial-00002"}
    study = runs.pop(folder.name)
    assert study.info.run_name == "the study" and study.data.tags["kind"] == "study"
    assert "mlflow.parentRunId" not in study.data.tags
    for number, run in enumerate(runs.values()):
        assert run.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert run.data.tags["optuna.trial"] == str(number)
        assert run.info.run_name == f"trial {number:03d}"
    assert runs["trial-00000"].data.params == {"units": "3", "optimizer/rate": "0.5"}


@pytest.mark.parametrize("whose", ["Ada's"])
def test_a_study_may_have_an_apostrophe_in_its_name(folder, deliver, whose):
    assert whose in folder.name
    write_study(folder)
    first = deliver()
    for note in folder.rglob("delivered.json"):
        note.unlink()  # its runs are then found by their names
    assert {name: run.info.run_id for name, run in deliver().items()} == {
        name: run.info.run_id for name, run in first.items()
    }


def test_metrics_have_their_steps_and_the_times_of_the_journal(folder, deliver, client):
    write_study(folder)
    run = deliver()["trial-00000"]
    events = [event for event in read(folder / "trial-00000")[0] if event["event"] == "metrics"]
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (event["step"], event["metrics"]["loss"], event["time"]) for event in events
    ]
    assert len(history) == 2
    (summary,) = client.get_metric_history(run.info.run_id, "best_val_accuracy")
    assert (summary.step, summary.value) == (2, 0.9)


def test_a_run_has_its_data_with_what_they_were_used_for(folder, deliver):
    write_study(folder)
    inputs = deliver()["trial-00000"].inputs.dataset_inputs
    found = {
        tag.value: (json.loads(used.dataset.source), json.loads(used.dataset.profile))
        for used in inputs
        for tag in used.tags
        if tag.key == "mlflow.data.context"
    }
    assert set(found) == {"train", "validation"}
    for context, images in (("train", 500), ("validation", 100)):
        source, profile = found[context]
        assert source["sha256"] == DIGEST
        assert profile["images"] == images


def test_files_become_artifacts(folder, deliver, client):
    write_study(folder)
    run = deliver()["trial-00000"]
    path = client.download_artifacts(run.info.run_id, "curves.png")
    assert Path(path).read_bytes() == b"a picture"


def test_a_file_that_was_replaced_is_delivered_as_it_is_now(folder, deliver, client):
    journal = started(folder)
    for content in ("first", "second"):
        write_file(journal, "best_params.json", content.encode())
    run = deliver()[folder.name]
    path = client.download_artifacts(run.info.run_id, "best_params.json")
    assert Path(path).read_text() == "second"
    write_file(journal, "best_params.json", b"third")
    deliver()
    path = client.download_artifacts(run.info.run_id, "best_params.json")
    assert Path(path).read_text() == "third"


def test_each_end_has_its_status_in_mlflow(folder, deliver):
    write_study(folder)
    runs = deliver()
    assert [runs[f"trial-0000{number}"].info.status for number in (0, 1, 2)] == [
        "FINISHED",
        "KILLED",
        "FAILED",
    ]
    assert runs["trial-00002"].data.tags["reason"] == "ValueError: no"
    assert runs[folder.name].info.status == "RUNNING"
    end = read(folder / "trial-00000")[0][-1]
    assert runs["trial-00000"].info.end_time == end["time"]
    assert runs["trial-00000"].data.tags["optuna.state"] == "COMPLETE"


def test_a_trial_that_is_interrupted_and_goes_on_is_one_run(folder, deliver, client):
    study, trial = started(folder), started(folder / "trial-00000")
    trial.metrics(1, {"loss": 0.5})
    assert deliver()["trial-00000"].info.status == "RUNNING"
    for journal in (trial, study):
        journal.write("pause", tags={"optuna.state": "WAITING"})
    paused = deliver()["trial-00000"]
    assert (paused.info.status, paused.data.tags["optuna.state"]) == ("KILLED", "WAITING")
    started(folder), started(folder / "trial-00000")
    again = deliver()
    assert {run.info.status for run in again.values()} == {"RUNNING"}
    assert again["trial-00000"].info.run_id == paused.info.run_id
    trial.metrics(2, {"loss": 0.4})
    for journal in (trial, study):
        journal.write("end", status="FINISHED", tags={}, step=2, metrics={})
    ended = deliver()
    assert {run.info.status for run in ended.values()} == {"FINISHED"} and len(ended) == 2
    history = client.get_metric_history(paused.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.4)]


def test_a_study_that_is_extended_runs_again(folder, deliver):
    started(folder).write("end", status="FINISHED", tags={}, step=0, metrics={})
    first = deliver()[folder.name]
    started(folder)
    again = deliver()[folder.name]
    assert (first.info.status, again.info.status) == ("FINISHED", "RUNNING")
    assert first.info.run_id == again.info.run_id


def test_a_study_that_continues_with_another_budget_is_delivered(folder, deliver):
    """The budget is not part of the fingerprint, so the study's parameters may change."""
    started(folder, params={"trials": "3", "epochs": "2"}).write("pause", tags={})
    deliver()
    started(folder, params={"trials": "9", "epochs": "2"})
    write_trial(folder, 0)
    runs = deliver()
    assert runs["trial-00000"].info.status == "FINISHED"
    assert runs[folder.name].data.params["epochs"] == "2"


@pytest.mark.parametrize("odd", ["rate (log)", "a|b", "top@5", "größe", "/units", "a//b", "x=1"])
def test_names_that_mlflow_rejects_delay_nothing(folder, deliver, odd):
    """KerasTuner and Keras accept any text as the name of a hyperparameter or a metric."""
    started(folder)
    trial = started(folder / "trial-00000", params={odd: "3", "width": "4"})
    trial.write("tags", tags={f"best.param.{odd}": "3"})
    trial.metrics(1, {odd: 0.5, "loss": 0.25})
    trial.write("end", status="FINISHED", tags={}, step=1, metrics={})
    run = deliver()["trial-00000"]
    assert run.info.status == "FINISHED"
    assert run.data.params["width"] == "4" and sorted(run.data.params.values()) == ["3", "4"]
    assert run.data.metrics["loss"] == 0.25 and sorted(run.data.metrics.values()) == [0.25, 0.5]


def test_a_long_text_is_cut_and_delays_nothing(folder, deliver):
    started(folder, params={"baseline": "x" * 100_000}).write("tags", tags={"note": "x" * 100_000})
    run = deliver()[folder.name]
    assert set(run.data.params["baseline"]) == set(run.data.tags["note"]) == {"x"}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_metric_that_is_not_finite_delays_nothing(folder, deliver, value):
    started(folder).metrics(1, {"val_loss": value, "loss": 0.5})
    assert deliver()[folder.name].data.metrics["loss"] == 0.5


def test_many_metrics_and_parameters_are_delivered_in_portions(folder, deliver, client):
    journal = started(folder, params={f"p{number}": number for number in range(250)})
    for step in range(1, 601):
        journal.metrics(step, {"loss": 1 / step, "accuracy": step})
    run = deliver()[folder.name]
    assert len(run.data.params) == 250
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(n, n) for n in range(1, 601)]


def test_a_line_that_is_still_being_written_waits(folder, deliver):
    journal = started(folder)
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'{"event": "metrics", "time": 1, "step": 1, "met')
    assert deliver()[folder.name].data.metrics == {}
    journal = Journal(folder)
    journal.metrics(1, {"loss": 0.5})
    assert deliver()[folder.name].data.metrics == {"loss": 0.5}


# Delivered again


def test_delivering_again_duplicates_nothing(folder, deliver, client):
    write_study(folder)
    before = everything(client, deliver())
    assert everything(client, deliver()) == before


def test_delivering_everything_again_duplicates_nothing(folder, deliver, client, model_file):
    """As after a kill between a delivery and its note."""
    write_study(folder)
    write_model(Journal(folder), model_file)
    before = everything(client, deliver())
    for note in folder.rglob("delivered.json"):
        note.unlink()
    assert everything(client, deliver()) == before


def test_a_delivery_in_pieces_comes_to_the_same_as_one_in_one_go(folder, deliver, client):
    write_study(folder)
    lines = {path: path.read_bytes().splitlines(True) for path in folder.rglob(FILE_NAME)}
    for count in range(1, max(map(len, lines.values())) + 1):
        for path, content in lines.items():
            path.write_bytes(b"".join(content[:count]))
        note = folder / "delivered.json"
        old = note.read_bytes() if note.exists() else None
        deliver()
        if old and count % 2:  # a kill between the delivery and its note
            note.write_bytes(old)
    in_pieces = everything(client, deliver())
    assert without_ids(in_pieces) == without_ids(everything(client, delivered_anew(folder, client)))


def delivered_anew(folder, client):
    """Deliver the same journals at once, as a study of another MLflow experiment."""
    number = experiment_id(client, f"{folder.name} in one go", folder.parent.parent)
    for note in folder.rglob("delivered.json"):
        note.unlink()
    Delivery(client, number, folder).deliver()
    return runs_of(client, number)


# Models


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A tiny saved classifier."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    path = tmp_path_factory.mktemp("model") / "digit_recog_mnist_cnn.keras"
    model.save(path)
    return path


def test_a_model_is_logged_once_and_predicts_as_the_file_does(
    folder, deliver, client, model_file, name, mlruns
):
    write_model(started(folder), model_file)
    run = deliver()[folder.name]
    deliver()
    (logged,) = logged_models(client, run)
    assert logged.name == "digit_recog_mnist_cnn" and logged.status == "READY"
    assert logged.tags["optuna.trial"] == "3" and logged.params == {"units": "4"}

    images = np.random.default_rng(0).random((5, 4, 4, 1), dtype=np.float32)
    expected = keras.models.load_model(model_file).predict(images, verbose=0)
    loaded = mlflow.keras.load_model(logged.model_uri)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    served = mlflow.pyfunc.load_model(logged.model_uri)
    np.testing.assert_allclose(served.predict(images), expected, rtol=1e-6)
    assert [item.shape for item in served.metadata.signature.inputs] == [(-1, 4, 4, 1)]
    assert [item.shape for item in served.metadata.signature.outputs] == [(-1, 3)]
    with pytest.raises(MlflowException):
        served.predict(images[..., 0])  # its signature refuses another shape


def test_another_winner_is_another_logged_model(folder, deliver, client, model_file):
    journal = started(folder)
    write_model(journal, model_file)
    deliver()
    write_model(journal, model_file)
    run = deliver()[folder.name]
    assert [model.status for model in logged_models(client, run)] == ["READY"] * 2


def test_a_model_that_a_kill_left_unfinished_is_finished_and_not_doubled(
    folder, deliver, client, model_file, name, mlruns
):
    journal = started(folder)
    run = deliver()[folder.name]
    write_model(journal, model_file)
    event = journal.last
    client.create_logged_model(
        experiment_id(client, name, mlruns),
        event["name"],
        source_run_id=run.info.run_id,
        tags={"journal.time": str(event["time"])},
    )
    deliver()
    assert [model.status for model in logged_models(client, run)] == ["READY"]


# Where MLflow is


def test_the_store_is_the_database_of_mlruns_unless_the_environment_names_another(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:5000"


def test_a_kill_while_the_database_is_made_leaves_none_that_is_broken(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = (
        "import sys, pathlib, mnist_cnn.tracking.client as t; t.connect(pathlib.Path(sys.argv[1]))"
    )
    maker = subprocess.Popen([sys.executable, "-c", code, tmp_path], stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "mlflow.db.part").exists())
    maker.kill()
    maker.wait()
    assert not (tmp_path / "mlflow.db").exists()
    assert experiment_id(connect(tmp_path), "first", tmp_path) == "1"
    assert not list(tmp_path.glob("*.part*"))


def test_an_experiment_is_made_once_with_its_artifacts_in_mlruns(client, mlruns, name):
    number = experiment_id(client, name, mlruns)
    assert experiment_id(client, name, mlruns) == number
    location = client.get_experiment(number).artifact_location
    assert location == (mlruns / "artifacts" / name).as_uri()


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(
    client, mlruns, name, monkeypatch
):
    number = experiment_id(client, name, mlruns)
    client.delete_experiment(number)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:hunter2@host")
    with pytest.raises(UserError, match=f"mlflow experiments restore -x {number}") as refusal:
        experiment_id(client, name, mlruns)
    assert str(refusal.value).endswith("with MLFLOW_TRACKING_URI=http://***@host")


def test_the_deliverer_delivers_in_the_background_and_at_its_end(folder, client, mlruns, name):
    journal = started(folder)
    deliverer = Deliverer(name, folder, mlruns)
    deliverer.start()
    journal.metrics(1, {"loss": 0.5})  # written at any time, it is there at the end
    deliverer.close(60)
    assert deliverer.problem is None
    runs = runs_of(client, experiment_id(client, name, mlruns))
    assert runs[folder.name].data.metrics == {"loss": 0.5}


def test_a_server_that_is_away_is_a_problem_and_a_later_delivery_has_it_all(
    folder, deliver, mlruns, name, monkeypatch
):
    write_study(folder)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
        deliverer = Deliverer(name, folder, mlruns)
        deliverer.start()
        deliverer.close(60)
        assert "127.0.0.1" in deliverer.problem and "\n" not in deliverer.problem
        assert deliverer.views == {}
        assert "MLflow cannot be updated" in deliverer.news.get_nowait()
        assert deliverer.news.empty()  # told once, however often it was tried
        with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            list(deliver_all(mlruns))
    assert deliver()["trial-00000"].info.status == "FINISHED"


def test_an_experiment_that_is_deleted_is_told_with_what_to_type(folder, client, mlruns, name):
    write_study(folder)
    number = experiment_id(client, name, mlruns)
    client.delete_experiment(number)
    deliverer = Deliverer(name, folder, mlruns)
    deliverer.start()
    deliverer.close(60)
    assert deliverer.problem.startswith(f"MLflow's experiment {name!r} is deleted; type `mlflow ")
    assert f"({deliverer.problem}); training continues" in deliverer.news.get_nowait()


def test_a_delivery_that_is_given_up_delivers_nothing_more(folder, client, mlruns, name):
    """As that of a notebook's search, whose experiment another process may deliver by now."""
    write_study(folder)
    deliverer = Deliverer(name, folder, mlruns)
    deliverer.start()
    deliverer.close(0)
    assert deliverer.problem == "no answer within 0 s"
    threading.Thread.join(deliverer)
    assert deliverer.problem == "no answer within 0 s"
    assert runs_of(client, experiment_id(client, name, mlruns)) == {}


def test_every_study_of_a_folder_is_delivered(tmp_path, client, mlruns, name, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns}/mlflow.db")
    for number in (1, 2):
        write_study(tmp_path / "checkpoints" / f"{name}-{number}")
    (tmp_path / "checkpoints" / "not-a-study-1").mkdir()
    assert list(deliver_all(tmp_path)) == [f"{name}-{n}: everything is in MLflow" for n in (1, 2)]
    runs = runs_of(client, experiment_id(client, name, tmp_path), by="journal")
    assert len(runs) == 8


def test_an_experiment_that_is_deleted_delays_no_other(tmp_path, client, mlruns, name, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns}/mlflow.db")
    for study in ("deleted-1", "deleted-2", f"{name}-1"):
        write_study(tmp_path / "checkpoints" / study)
    client.delete_experiment(experiment_id(client, "deleted", tmp_path))
    with pytest.raises(UserError) as refusal:
        list(deliver_all(tmp_path))
    assert str(refusal.value).count("MLflow's experiment 'deleted' is deleted; type `mlflow ") == 1
    assert len(runs_of(client, experiment_id(client, name, tmp_path), by="journal")) == 4


def test_a_folder_without_studies_has_nothing_to_deliver(tmp_path, mlruns, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns}/mlflow.db")
    (line,) = deliver_all(tmp_path)
    assert "nothing to deliver" in line


def test_a_run_that_somebody_deleted_delays_no_other(folder, deliver, client, name, mlruns):
    started(folder)
    journals = [started(folder / f"trial-0000{number}") for number in (0, 1)]
    client.delete_run(deliver()["trial-00000"].info.run_id)
    for journal in journals:
        journal.metrics(1, {"loss": 0.5})
    with contextlib.suppress(MlflowException):  # it may be told, after the others were delivered
        deliver()
    runs = runs_of(client, experiment_id(client, name, mlruns))
    assert runs["trial-00001"].data.metrics == {"loss": 0.5}


# What others did to MLflow or to the files


def test_what_mlflow_has_lost_is_delivered_again(folder, deliver, client, name, mlruns):
    write_study(folder)
    before = without_ids(everything(client, deliver()))
    for note in folder.rglob("delivered.json"):  # as after its database was deleted
        note.write_text(json.dumps(json.loads(note.read_text()) | {"run": "0" * 32}))
    for run in runs_of(client, experiment_id(client, name, mlruns)).values():
        client.set_tag(run.info.run_id, "journal", "elsewhere/" + run.info.run_id)
    delivery = Delivery(client, experiment_id(client, name, mlruns), folder)
    lines = delivery.reconcile()
    assert sorted(lines) == [
        f"MLflow had lost the run of {run}; delivering it again"
        for run in (f"{name}-1", "trial-00000", "trial-00001", "trial-00002")
    ]
    delivery.deliver()
    found = client.search_runs([delivery.experiment_id], f"tags.journal LIKE '{name}-1%'")
    runs = {Path(run.data.tags["journal"]).name: run for run in found}
    assert without_ids(everything(client, dict(sorted(runs.items())))) == before
    assert delivery.reconcile() == []


def test_a_run_whose_files_are_gone_is_ended(folder, deliver, client, name, mlruns):
    started(folder), started(folder / "trial-00000")
    assert deliver()["trial-00000"].info.status == "RUNNING"
    shutil.rmtree(folder / "trial-00000")
    delivery = Delivery(client, experiment_id(client, name, mlruns), folder)
    assert delivery.reconcile() == ["the files of trial-00000 are gone; ended its run in MLflow"]
    assert deliver()["trial-00000"].info.status == "KILLED"
    assert deliver()[folder.name].info.status == "RUNNING"
    assert delivery.reconcile() == []


def test_a_note_that_a_power_cut_emptied_is_ignored(folder, deliver, client):
    write_study(folder)
    before = everything(client, deliver())
    for note in folder.rglob("delivered.json"):
        note.write_text("")
    assert everything(client, deliver()) == before


def test_another_store_gets_everything(folder, deliver, tmp_path, monkeypatch):
    """As when a search that began without a tracking server continues with one."""
    write_study(folder)
    deliver()
    copy_database(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    other = connect(tmp_path)
    number = experiment_id(other, "another", tmp_path)
    Delivery(other, number, folder).deliver()
    assert len(runs_of(other, number)) == 4


def test_the_first_studies_of_two_people_on_one_server_are_two(folder, deliver, client, tmp_path):
    write_study(folder)
    runs = deliver()
    other = tmp_path / folder.name
    write_study(other)
    Delivery(client, runs[folder.name].info.experiment_id, other).deliver()
    found = client.search_runs([runs[folder.name].info.experiment_id])
    assert len(found) == 2 * len(runs)
    assert len({run.data.tags.get("mlflow.parentRunId") for run in found}) == 3


def test_older_studies_of_the_experiment_are_delivered_too(folder, client, mlruns, name):
    """MLflow was unreachable until another study began."""
    write_study(folder)
    newer = folder.with_name(f"{name}-2")
    started(newer)
    deliverer = Deliverer(name, newer, mlruns)
    deliverer.start()
    wait_for(lambda: (folder / "trial-00002" / "delivered.json").exists())
    deliverer.close(60)
    assert deliverer.problem is None
    runs = runs_of(client, experiment_id(client, name, mlruns), by="journal")
    assert runs[f"{name}-1/trial-00000"].info.status == "FINISHED"


def test_a_study_that_is_being_searched_is_left_to_its_search(tmp_path, mlruns, name, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns}/mlflow.db")
    write_study(tmp_path / "checkpoints" / f"{name}-1")
    with lock_experiment(name, tmp_path / "checkpoints"):
        (line,) = deliver_all(tmp_path)
    assert line.startswith(f"{name}-1: a search of {name!r} is running and delivers it itself")
    assert line.endswith("or another `sync` or `delete` is running")


# What the package writes into journals


def wait_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not reached in 30 s")


def started(folder, params=None):
    journal = Journal(folder)
    journal.write("start", name="a run", tags={}, params=params or {})
    return journal


def write_study(folder):
    """Write a study with a complete, a pruned and a failed trial."""
    Journal(folder).write(
        "start",
        name="the study",
        tags={"kind": "study", "optuna.study": folder.name},
        params={"epochs": "2"},
    )
    write_trial(folder, 0)
    write_trial(folder, 1, "KILLED", {"optuna.state": "PRUNED"})
    write_trial(folder, 2, "FAILED", {"optuna.state": "FAIL", "reason": "ValueError: no"})


def write_trial(folder, number, status="FINISHED", tags=None):
    journal = Journal(folder / f"trial-{number:05d}")
    journal.write(
        "start",
        name=f"trial {number:03d}",
        tags={"kind": "trial", "optuna.trial": str(number), "optuna.state": "RUNNING"},
        params={"units": 3, "optimizer/rate": 0.5},
    )
    for context, images in (("train", 500), ("validation", 100)):
        journal.write("dataset", name="mnist", digest=DIGEST, images=images, context=context)
    for step in (1, 2):
        journal.metrics(step, {"loss": 1 / step, "val_accuracy": step / 3})
    write_file(journal, "curves.png", b"a picture")
    tags = tags or {"optuna.state": "COMPLETE"}
    summary = {"best_val_accuracy": 0.9} if status == "FINISHED" else {}
    journal.write("end", status=status, tags=tags, step=2, metrics=summary)


def write_file(journal, name, content):
    (journal.folder / name).write_bytes(content)
    journal.write("artifact", path=name)


def write_model(journal, model_file):
    write_mlflow_model(model_file, journal.folder / "model")
    journal.write(
        "model",
        path="model",
        name="digit_recog_mnist_cnn",
        tags={"optuna.trial": "3"},
        params={"units": 4},
    )


# What MLflow holds


def runs_of(client, number, by="folder"):
    runs = client.search_runs([number])
    keys = [run.data.tags["journal"] for run in runs]
    keys = [Path(key).name for key in keys] if by == "folder" else keys
    assert len(set(keys)) == len(keys), "a journal has two runs"
    return dict(sorted(zip(keys, runs, strict=True)))


def logged_models(client, run):
    return client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )


def everything(client, runs):
    """Everything that MLflow has about the runs."""
    return {key: facts_of(client, run) for key, run in runs.items()}


def facts_of(client, run):
    run_id = run.info.run_id
    return {
        "info": (run_id, run.info.run_name, run.info.status, run.info.start_time),
        "end": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {
            name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "artifacts": sorted(item.path for item in client.list_artifacts(run_id)),
        "inputs": sorted(
            (
                used.dataset.digest,
                used.dataset.profile,
                *sorted((t.key, t.value) for t in used.tags),
            )
            for used in run.inputs.dataset_inputs
        ),
        "models": sorted((model.model_id, model.status) for model in logged_models(client, run)),
    }


def without_ids(facts):
    """The facts without the ids that MLflow generates."""
    for fact in facts.values():
        fact["info"] = fact["info"][1:]
        fact["tags"] = {
            key: tag for key, tag in fact["tags"].items() if key != "mlflow.parentRunId"
        }
    return facts
