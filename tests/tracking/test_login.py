"""MLflow behind a login: what the right password delivers, and what a wrong one says."""

import os
import socket
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from projects import copy_database

from mnist_cnn import cli
from mnist_cnn.tracking.journal import Journal

PASSWORD, WRONG = "p@ss:w/rd hunter2", "wrong-hunter2"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """MLflow's server with its own login, and its address."""
    pytest.importorskip("flask_wtf", reason="MLflow's login needs flask-wtf")
    root = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--port", str(port), "--workers", "1"]
    copy_database(root)
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db"]
    command += ["--artifacts-destination", str(root / "artifacts")]
    settings = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (root / "log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=root, env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert started.poll() is None, (root / "log").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(30)


@pytest.fixture
def study(project):
    """The folder of a study that MLflow does not have yet."""
    folder = project / "mlruns/checkpoints/smoke-1"
    journal = Journal(folder)
    journal.write("start", name="smoke-1", tags={"kind": "study"}, params={"units": 8})
    journal.metrics(1, {"best_val_accuracy": 0.5})
    (folder / "note.txt").write_text("found")
    journal.write("artifact", path="note.txt")
    journal.write("end", status="FINISHED", tags={}, step=1, metrics={})
    return folder


def told(monkeypatch, capfd, uri, user, password, *command):
    """The exit code of a command, and all that it printed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(SystemExit) as left:
        cli.main(command)
    printed = capfd.readouterr()
    return left.value.code, printed.out + printed.err


def test_with_the_right_password_everything_is_delivered(server, study, monkeypatch, capfd):
    uri = f"http://{server}"
    code, text = told(monkeypatch, capfd, uri, "admin", PASSWORD, "sync")
    assert (code, text) == (0, "smoke-1: everything is in MLflow\n")
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("smoke").experiment_id])
    assert run.data.metrics == {"best_val_accuracy": 0.5} and run.data.params == {"units": "8"}
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["note.txt"]


@pytest.mark.parametrize("command", [("sync",), ("promote", "smoke")])
def test_with_a_wrong_password_one_line_says_what_to_set(
    server, study, monkeypatch, capfd, command
):
    uri = f"http://{server}"
    code, text = told(monkeypatch, capfd, uri, "admin", WRONG, *command)
    assert code == 1
    (line,) = text.splitlines()
    assert line.startswith(f"mnist-cnn: MLflow at {uri} refuses the login; set MLFLOW_TRACKING_USE")
    assert "hunter2" not in line


def test_a_password_in_the_address_works_and_is_neither_shown_nor_kept(
    server, study, monkeypatch, capfd
):
    right = f"http://admin:p%40ss%3Aw%2Frd%20hunter2@{server}"
    code, text = told(monkeypatch, capfd, right, "", "", "sync")
    assert (code, text) == (0, "smoke-1: everything is in MLflow\n")
    code, text = told(monkeypatch, capfd, f"http://admin:{WRONG}@{server}", "", "", "sync")
    assert code == 1 and "hunter2" not in text
    code, text = told(monkeypatch, capfd, right, "", "", "ui")
    assert code == 1 and f"open http://***@{server} in a browser" in text
    kept = [path for path in (study / "..").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"hunter2" in path.read_bytes()]
