"""`mnist-cnn ui`: MLflow's server, which ends with the command."""

import errno
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from projects import clean_environment, copy_database

from mnist_cnn import ui
from mnist_cnn.errors import UserError
from mnist_cnn.tracking import tags, views
from mnist_cnn.tracking.client import connect


def test_a_port_that_may_not_be_used_is_not_said_to_be_in_use(monkeypatch):
    class Refusing(socket.socket):
        def bind(self, address):
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(ui.socket, "socket", Refusing)
    with pytest.raises(UserError, match=r"port 80 cannot be used \(Permission denied\); .* PORT=5"):
        ui.check_port(80, "make ui")


def test_instead_of_the_last_port_another_one_is_proposed():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        with pytest.raises(UserError, match=r"port 65535 is in use; .* PORT=5001"):
            ui.check_port(65535, "make ui")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's root, with a study that has a view."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_database(tmp_path / "mlruns")
    client = connect(tmp_path / "mlruns")
    view = views.TAG + views.key("mnist-1", views.BEST)
    number = client.create_experiment("mnist", location(tmp_path), {view: "{}"})
    client.create_run(number, tags={tags.KIND: "study"}, run_name="mnist-1")
    return tmp_path


def location(root):
    return (root / "mlruns/artifacts/mnist").as_uri()


def test_behind_a_proxy_it_answers_and_a_signal_to_it_alone_ends_all_of_it(project):
    port = free_port()
    command = [sys.executable, "-m", "mnist_cnn", "ui", "--port", str(port)]
    proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    environment = clean_environment() | proxy
    with subprocess.Popen(command, cwd=project, env=environment, **pipe) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert f"http://127.0.0.1:{port} " in next(lines)
            while next(lines) != "mnist-1:\n":  # MLflow prints lines too
                pass
            assert next(lines).startswith("  best trials ")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
    while answers(port):  # until the system has ended what was killed
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_in_a_project_that_was_moved_it_is_served_with_the_places_of_its_files(project):
    moved = project.rename(project.with_name(f"{project.name}-moved"))
    command = [sys.executable, "-m", "mnist_cnn", "ui", "--port", str(free_port())]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=moved, env=clean_environment(), **pipe) as process:
        try:
            assert process.stdout.readline().startswith("MLflow on ")
        finally:
            process.send_signal(signal.SIGTERM)
    with closing(sqlite3.connect(moved / "mlruns/mlflow.db")) as database:
        places = database.execute("SELECT artifact_location FROM experiments").fetchall()
    assert (location(moved),) in places


def test_a_database_that_is_none_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_text("no database" * 99)
    with pytest.raises(UserError, match=r"mlflow\.db cannot be used: file is not a database"):
        ui.serve_ui(free_port())
