"""Neither other people's changes in MLflow nor a lost answer loses or duplicates anything."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from projects import copy_database

from mnist_cnn.tracking.client import connect, experiment_id
from mnist_cnn.tracking.delivery import Delivery
from mnist_cnn.tracking.journal import Journal


@pytest.fixture
def delivery(mlruns, request):
    """The delivery of a study without runs."""
    name = request.node.name
    client = connect(mlruns)
    folder = mlruns / "checkpoints" / f"{name}-1"
    begin(folder, "study")
    return Delivery(client, experiment_id(client, name, mlruns), folder)


def begin(folder, kind):
    journal = Journal(folder)
    journal.write("start", name=folder.name, tags={"kind": kind, "optuna.trial": "0"}, params={})
    return journal


def end(journal):
    state = {"optuna.state": "COMPLETE"}
    journal.write("end", status="FINISHED", tags=state, step=journal.last_step, metrics={})


def runs_of(delivery):
    """The runs by the names of their folders, without deleted ones."""
    found = delivery.client.search_runs([delivery.experiment_id])
    return {run.data.tags["journal"].rpartition("/")[2]: run for run in found}


def test_a_study_run_that_somebody_deletes_is_restored_and_not_doubled(delivery):
    delivery.deliver()
    study = runs_of(delivery)[delivery.study_folder.name].info.run_id
    delivery.client.delete_run(study)
    journal = begin(delivery.study_folder / "trial-00000", "trial")
    journal.metrics(1, {"loss": 0.5})
    end(journal)
    delivery.follow(journal.folder)
    Journal(delivery.study_folder).write("tags", tags={"note": "more"})
    delivery.deliver()
    runs = runs_of(delivery)
    assert runs[delivery.study_folder.name].info.run_id == study
    assert runs["trial-00000"].info.status == "FINISHED"
    assert any("restored it" in line for line in delivery.news)


def test_a_study_whose_deleted_run_begins_again_has_one_run(delivery, mlruns):
    delivery.deliver()
    study = runs_of(delivery)[delivery.study_folder.name].info.run_id
    delivery.client.delete_run(study)
    begin(delivery.study_folder, "study")  # as the next search does
    Delivery(connect(mlruns), delivery.experiment_id, delivery.study_folder).deliver()
    assert runs_of(delivery)[delivery.study_folder.name].info.run_id == study


def test_a_training_that_starts_over_has_no_earlier_metrics(delivery):
    journal = begin(delivery.study_folder / "trial-00000", "trial")
    for step in (1, 2, 3):
        journal.metrics(step, {"loss": float(step)})
    delivery.deliver()
    begin(journal.folder, "trial")
    again = Journal(journal.folder)
    again.anew("its checkpoint is gone")
    again.metrics(1, {"loss": 10.0})
    delivery.deliver()
    again.metrics(2, {"loss": 20.0})
    end(again)
    delivery.deliver()
    run = runs_of(delivery)["trial-00000"]
    history = delivery.client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 10.0), (2, 20.0)]
    assert run.info.status == "FINISHED" and run.data.tags["optuna.trial"] == "0"


def test_only_runs_that_have_not_ended_are_looked_at_again(delivery):
    ended = begin(delivery.study_folder / "trial-00000", "trial")
    end(ended)
    delivery.deliver()
    (ended.folder / "delivered.json").unlink()  # a second look would deliver it again
    going = begin(delivery.study_folder / "trial-00001", "trial")
    delivery.deliver()
    assert not (ended.folder / "delivered.json").exists()
    assert "trial-00001" not in runs_of(delivery)
    delivery.follow(going.folder)
    delivery.deliver()
    assert "trial-00001" in runs_of(delivery)


def test_a_run_whose_worker_comes_to_it_after_the_first_look_is_not_missed(delivery):
    """As the second worker, which starts with the search."""
    folder = delivery.study_folder / "trial-00000"
    delivery.follow(folder)
    delivery.deliver()
    end(begin(folder, "trial"))
    delivery.deliver()
    assert runs_of(delivery)["trial-00000"].info.status == "FINISHED"


class Cut:
    """A proxy before MLflow's server that loses the answer to the first creation of a run."""

    def __init__(self, port):
        self.port, self.lost = port, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.port))
        creates = threading.Event()

        def send():
            with suppress(OSError):
                while request := client.recv(2**16):
                    if b"/runs/create" in request:
                        creates.set()
                    server.sendall(request)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        with client, server, suppress(OSError):
            while answer := server.recv(2**16):
                if creates.is_set() and not self.lost:
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer)


def test_a_run_whose_creation_was_not_answered_is_found_and_not_made_twice(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    copy_database(tmp_path)
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **quiet) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            proxy = Cut(port)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
            client = connect(tmp_path)
            number = experiment_id(client, "lost", tmp_path)
            folder = tmp_path / "checkpoints/lost-1"
            begin(folder, "study")
            delivery = Delivery(client, number, folder)
            with pytest.raises(MlflowException):
                delivery.deliver()
            assert proxy.lost == 1
            delivery.deliver()
            runs = MlflowClient(f"http://127.0.0.1:{port}").search_runs([number])
            assert len(runs) == 1
        finally:
            server.terminate()
