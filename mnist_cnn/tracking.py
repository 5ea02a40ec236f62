"""Delivers journals to MLflow, at any time, any number of times, to the same end.

A study has a folder, and a run (a trial, a confirmation) a folder in it. Beside each journal lies
`delivered.json`: the run's id and how far it was delivered. Every delivery can be repeated: a run
is found again by its tag `journal`, metrics carry the times of the journal, and MLflow keeps one of
two equal ones. So a kill between a delivery and its note doubles nothing.
"""

import getpass
import json
import logging
import os
import posixpath
import re
import sqlite3
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is away is tried again by us, every few seconds; MLflow would hold on for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH

from mnist_cnn import journal
from mnist_cnn.errors import UserError
from mnist_cnn.journal import Event

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"


def tracking_uri(mlruns: Path) -> str:
    """Where MLflow keeps runs: $MLFLOW_TRACKING_URI, or the database in `mlruns`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{mlruns.absolute()}/mlflow.db"


def connect(mlruns: Path) -> MlflowClient:
    """A client of the tracking store and registry; the database is made if it is not there."""
    uri = tracking_uri(mlruns)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    if uri.startswith("sqlite:///"):
        client.search_experiments(max_results=1)  # makes the tables
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and a writer at once
    return client


def experiment_id(client: MlflowClient, name: str, mlruns: Path) -> str:
    """The id of MLflow's experiment `name`, made if it is not there."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    if found is not None:
        raise UserError(
            f"MLflow's experiment {name!r} is deleted; type `mlflow experiments restore "
            f"-x {found.experiment_id}` with MLFLOW_TRACKING_URI={tracking_uri(mlruns)}"
        )
    # A server keeps artifacts in a place of its own; with a bare database it has to be said.
    local = not tracking_uri(mlruns).startswith("http")
    location = (mlruns.absolute() / "artifacts" / name).as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=location))


def valid_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits and `_-. :/`, and like a relative path."""
    text = posixpath.normpath(re.sub(r"[^\w\-.: /]", "_", name)).lstrip("./")
    return text or "_"


class Delivery:
    """Brings MLflow up to date with the journals of one study."""

    def __init__(self, client: MlflowClient, experiment_id: str, study_folder: Path) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.study_folder = study_folder
        self._ended: set[Path] = set()

    def deliver(self) -> None:
        """Deliver what the journals hold and MLflow does not. The study's own goes first."""
        parent = self._deliver_folder(self.study_folder, None)
        if parent is None:
            return
        problem = None
        for entry in sorted(os.scandir(self.study_folder), key=lambda entry: entry.name):
            if entry.is_dir() and Path(entry) not in self._ended:
                try:
                    self._deliver_folder(Path(entry), parent)
                except MlflowException as error:
                    problem = problem or error  # one run that somebody deleted holds up no other
        if problem:
            raise problem

    def _deliver_folder(self, folder: Path, parent: str | None) -> str | None:
        """Deliver what is new in one journal. The run's id, or None while the journal is empty."""
        note = folder / "delivered.json"
        state: dict[str, Any] = {"run": None, "offset": 0, "ended": False}
        if note.exists():
            state = json.loads(note.read_text())
        events, offset = journal.read(folder, state["offset"])
        for kind, group in groupby(events, key=lambda event: event["event"]):
            if kind == "start":
                state["run"] = self._start(folder, parent, list(group))
            elif state["run"]:  # a run lost before it was built may end without a start
                getattr(self, f"_{kind}")(state["run"], folder, list(group))
        if events:
            state |= {"offset": offset, "ended": events[-1]["event"] == "end"}
            partly = note.with_suffix(".part")
            partly.write_text(json.dumps(state))
            partly.replace(note)
        if state["ended"]:
            self._ended.add(folder)
        run_id: str | None = state["run"]
        return run_id

    # One method for each kind of event; each can be repeated.

    def _start(self, folder: Path, parent: str | None, events: list[Event]) -> str:
        key = str(folder.relative_to(self.study_folder.parent))
        found = self.client.search_runs(
            [self.experiment_id], f"tags.journal = '{key}'", max_results=1
        )
        event = events[-1]
        if found:
            run_id = str(found[0].info.run_id)
            self.client.update_run(run_id, status="RUNNING")
        else:
            tags = {
                "journal": key,
                "mlflow.user": getpass.getuser(),
                "mlflow.source.name": "mnist-cnn",
                **({PARENT: parent} if parent else {}),
            }
            run = self.client.create_run(
                self.experiment_id, events[0]["time"], tags, run_name=event["name"]
            )
            run_id = str(run.info.run_id)
        self._tags(run_id, folder, events)
        self._params(run_id, folder, events)
        return run_id

    def _params(self, run_id: str, folder: Path, events: list[Event]) -> None:
        # MLflow never changes a parameter, and a study may go on under another budget: the first
        # value of each stands.
        known = self.client.get_run(run_id).data.params
        params = {n: v for event in reversed(events) for n, v in event.get("params", {}).items()}
        new = [
            Param(key, str(value))
            for name, value in params.items()
            if (key := valid_name(name)) not in known
        ]
        for some in _chunks(new, MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(run_id, params=some)

    def _metrics(self, run_id: str, folder: Path, events: list[Event]) -> None:
        metrics = [
            Metric(valid_name(name), value, event["time"], event["step"])
            for event in events
            for name, value in event["metrics"].items()
        ]
        for some in _chunks(metrics, MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=some)

    def _tags(self, run_id: str, folder: Path, events: list[Event]) -> None:
        tags = {name: text for event in events for name, text in event.get("tags", {}).items()}
        for some in _chunks(
            [RunTag(valid_name(name), text) for name, text in tags.items()],
            MAX_PARAMS_TAGS_PER_BATCH,
        ):
            self.client.log_batch(run_id, tags=some)

    def _dataset(self, run_id: str, folder: Path, events: list[Event]) -> None:
        for event in events:
            facts = {"images": event["images"]}
            dataset = Dataset(
                name=f"{event['name']} {event['context']}",  # one name and digest count once
                digest=event["digest"][:36],  # as much as MLflow keeps
                source_type="local",
                source=json.dumps({"sha256": event["digest"]}),
                profile=json.dumps(facts),
            )
            context = InputTag("mlflow.data.context", event["context"])
            self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])

    def _artifact(self, run_id: str, folder: Path, events: list[Event]) -> None:
        for path in dict.fromkeys(event["path"] for event in events):
            if (folder / path).exists():  # a later event replaced it otherwise
                self.client.log_artifact(run_id, str(folder / path))

    def _model(self, run_id: str, folder: Path, events: list[Event]) -> None:
        event = events[-1]
        made = self.client.search_logged_models(
            [self.experiment_id], f"source_run_id = '{run_id}'", order_by=None
        )
        time = str(event["time"])
        model = next((model for model in made if model.tags.get("journal.time") == time), None)
        if model is None:
            model = self.client.create_logged_model(
                self.experiment_id,
                event["name"],
                source_run_id=run_id,
                tags={**event["tags"], "journal.time": time},
                params={valid_name(name): str(value) for name, value in event["params"].items()},
                model_type="classifier",
            )
        if model.status == "READY":
            return  # delivered before a kill
        self.client.log_model_artifacts(model.model_id, str(folder / event["path"]))
        self.client.finalize_logged_model(model.model_id, "READY")

    def _pause(self, run_id: str, folder: Path, events: list[Event]) -> None:
        self._tags(run_id, folder, events)
        self.client.set_terminated(run_id, "KILLED", events[-1]["time"])

    def _end(self, run_id: str, folder: Path, events: list[Event]) -> None:
        self._metrics(run_id, folder, [event for event in events if "metrics" in event])
        self._tags(run_id, folder, events)
        self.client.set_terminated(run_id, events[-1]["status"], events[-1]["time"])


class Deliverer(threading.Thread):
    """Delivers a study's journals in the background, until closed.

    problem: what MLflow answered at the last try, None when it went well.
    """

    def __init__(self, experiment: str, study_folder: Path, mlruns: Path) -> None:
        super().__init__(name="deliverer", daemon=True)
        self._experiment, self._study_folder, self._mlruns = experiment, study_folder, mlruns
        self._closing = threading.Event()
        self._delivery: Delivery | None = None
        self.problem: str | None = None

    @property
    def experiment_id(self) -> str | None:
        """The id of MLflow's experiment, once MLflow has answered."""
        return self._delivery.experiment_id if self._delivery else None

    def run(self) -> None:
        while not self._closing.is_set():
            self._try()
            self._closing.wait(5.0 if self.problem else 0.5)
        self._try()

    def _try(self) -> None:
        try:
            if self._delivery is None:
                client = connect(self._mlruns)
                number = experiment_id(client, self._experiment, self._mlruns)
                self._delivery = Delivery(client, number, self._study_folder)
            self._delivery.deliver()
            self.problem = None
        except Exception as error:
            # Whatever MLflow's store raises (a lost connection, a locked or full disk): the journal
            # still has it, and the next try begins where this one stopped.
            self.problem = f"{type(error).__name__}: {error}".splitlines()[0]

    def close(self, seconds: float) -> None:
        """Deliver once more what is there, for `seconds` at the most, and stop."""
        self._closing.set()
        self.join(seconds)
        if self.is_alive():
            self.problem = self.problem or f"no answer within {seconds:.0f} s"


def deliver_all(mlruns: Path) -> list[str]:
    """Deliver every study's journals that MLflow does not have; a line for each study.

    Raises UserError if MLflow cannot be reached.
    """
    lines = []
    try:
        client = connect(mlruns)
        for folder in sorted((mlruns.absolute() / "checkpoints").glob("*/")):
            if (folder / journal.FILE_NAME).exists():
                number = experiment_id(client, folder.name.rpartition("-")[0], mlruns)
                Delivery(client, number, folder).deliver()
                lines.append(f"{folder.name}: MLflow has all of it")
    except MlflowException as error:
        raise UserError(f"MLflow at {tracking_uri(mlruns)} does not answer: {error}") from None
    return lines or ["nothing to deliver; type `make search` first"]


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
