"""Delivers journals to MLflow, at any time, any number of times, to the same end.

A study has a folder, and a run (a trial, a confirmation) a folder in it. Beside each journal lies
`delivered.json`: to which store, the run's id there, and how far it was delivered. Every delivery
can be repeated: a run is found again by its tag `journal` and its start, metrics carry the times of
the journal, and MLflow keeps one of two equal ones. So a kill between a delivery and its note
doubles nothing.
"""

import json
import os
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH

from mnist_cnn.files import replace_file
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.client import flush_artifacts, user, valid_name
from mnist_cnn.tracking.journal import Event
from mnist_cnn.urls import hide_passwords

DELIVERED_FILE = "delivered.json"

# What MLflow answers about one run, as that somebody deleted it; it holds up no other run.
ABOUT_ONE_RUN = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


class Delivery:
    """Brings MLflow up to date with the journals of one study."""

    def __init__(self, client: MlflowClient, experiment_id: str, study_folder: Path) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.study_folder = study_folder
        self._store = hide_passwords(client.tracking_uri)  # as the notes name it, for all to read
        self._open: set[Path] = set()  # runs that have not ended, or that no worker came to yet
        self._looked = False  # at all runs, once
        self.news: list[str] = []
        self._handlers: dict[str, Callable[[str, Path, list[Event]], None]] = {
            "params": self._params,
            "metrics": self._metrics,
            "tags": self._tags,
            "dataset": self._dataset,
            "artifact": self._artifact,
            "model": self._model,
            "pause": self._pause,
            "end": self._end,
        }

    def deliver(self) -> None:
        """Deliver what the journals hold and MLflow does not. The study's own goes first.

        The first time it looks at every run, later only at those that have not ended.

        Raises:
            MlflowException: MLflow does not answer, or, at the end, it refused a run.
        """
        parent = self._deliver_folder(self.study_folder, None)
        if parent is None:
            return
        if not self._looked:
            self._open |= {f for f in self._run_folders() if not self._note(f)["ended"]}
            self._looked = True
        problem = None
        for folder in sorted(self._open):
            try:
                self._deliver_folder(folder, parent)
            except MlflowException as error:
                if error.error_code not in ABOUT_ONE_RUN:
                    raise
                problem = problem or error
        if problem:
            raise problem

    def follow(self, folder: Path) -> None:
        """Deliver a run that begins, or goes on, from now on."""
        self._open.add(folder)

    def reconcile(self) -> list[str]:
        """Mend what others did to MLflow's runs or to the journals; returns a line for each.

        What MLflow has lost is delivered again, and runs that nobody will ever end are ended.
        """
        lines = []
        runs = self._runs_in_mlflow()
        known = {run.info.run_id for run in runs}
        for folder in (self.study_folder, *self._run_folders()):
            run_id = self._note(folder)["run"]
            if run_id and run_id not in known:
                (folder / DELIVERED_FILE).unlink()
                lines.append(f"MLflow had lost the run of {folder.name}; it is delivered again")
        ours = self._note(self.study_folder)["run"]
        for run in runs:
            folder = self.study_folder.parent / run.data.tags[tags.JOURNAL]
            lost = run.info.status == "RUNNING" and not (folder / journal.FILE_NAME).exists()
            if lost and run.data.tags.get(tags.PARENT) == ours:
                self.client.set_terminated(run.info.run_id, "KILLED")
                lines.append(f"{folder.name} has no files any more; its run in MLflow is ended")
        return lines

    def _runs_in_mlflow(self) -> list[Run]:
        """Return this study's runs, deleted ones too."""
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                f"tags.journal LIKE '{self.study_folder.name}%'",
                ViewType.ALL,
                page_token=token,
            )
            found += page
            if not (token := page.token):
                break
        own = self.study_folder.name
        return [run for run in found if run.data.tags[tags.JOURNAL].split("/")[0] == own]

    def _run_folders(self) -> list[Path]:
        entries = [entry for entry in os.scandir(self.study_folder) if entry.is_dir()]
        return sorted(Path(entry) for entry in entries)

    def _note(self, folder: Path) -> dict[str, Any]:
        """Return how far the journal in `folder` was delivered to this store."""
        try:
            note: dict[str, Any] = json.loads((folder / DELIVERED_FILE).read_text())
            if hide_passwords(note["store"]) == self._store:
                return note
        except (FileNotFoundError, ValueError, KeyError):  # none yet, or torn by a power cut
            pass
        return {"store": self._store, "run": None, "offset": 0, "ended": False}

    def _deliver_folder(self, folder: Path, parent: str | None) -> str | None:
        """Deliver what is new in one journal; returns the run's id, None before its start."""
        state = self._note(folder)
        events, offset = journal.read(folder, state["offset"])
        if any(event["event"] == "anew" for event in events):
            # MLflow keeps each metric that it was given, so the training has another run.
            if state["run"]:
                self._delete(state["run"])
            state["run"] = None
            events = journal.since_anew(journal.read(folder)[0])
        for kind, group in groupby(events, key=lambda event: event["event"]):
            if kind == "start":
                state["run"] = self._start(folder, parent, list(group))
            elif state["run"] and kind in self._handlers:
                self._handle(kind, state["run"], folder, list(group))
        if events:
            state |= {"store": self._store, "offset": offset, "ended": events[-1]["event"] == "end"}
            content = json.dumps(state)
            replace_file(folder / DELIVERED_FILE, lambda file: file.write_text(content))
        if state["ended"]:
            self._open.discard(folder)
        run_id: str | None = state["run"]
        return run_id

    def _handle(self, kind: str, run_id: str, folder: Path, events: list[Event]) -> None:
        """Call an event's handler, once more if somebody deleted the run in MLflow's pages."""
        try:
            self._handlers[kind](run_id, folder, events)
        except MlflowException as error:
            if error.error_code not in ABOUT_ONE_RUN or not self._restore(run_id, folder):
                raise
            self._handlers[kind](run_id, folder, events)

    def _restore(self, run_id: str, folder: Path) -> bool:
        """Bring back a run that was deleted; returns whether it was."""
        if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
            return False
        self.client.restore_run(run_id)
        self.news.append(f"somebody had deleted the run of {folder.name} in MLflow; it is restored")
        return True

    def _delete(self, run_id: str) -> None:
        if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
            self.client.delete_run(run_id)

    # A handler for each kind of event. Each can be repeated.

    def _start(self, folder: Path, parent: str | None, events: list[Event]) -> str:
        key = str(folder.relative_to(self.study_folder.parent))
        everything, _ = journal.read(folder)
        began = max([e["time"] for e in everything if e["event"] == "anew"], default=None)
        began = began or everything[0]["time"]
        found = self.client.search_runs(
            [self.experiment_id],
            # Others may deliver to the same server; their first study is called as ours is.
            f"tags.journal = '{key}' and attributes.start_time = {began}",
            ViewType.ALL,
            max_results=1,
        )
        event = events[-1]
        if found:
            run_id = str(found[0].info.run_id)
            self._restore(run_id, folder)
            self.client.update_run(run_id, status="RUNNING")
        else:
            own_tags = {
                tags.JOURNAL: key,
                tags.USER: user(),
                tags.SOURCE: "mnist-cnn",
                **({tags.PARENT: parent} if parent else {}),
            }
            run = self.client.create_run(
                self.experiment_id, began, own_tags, run_name=event["name"]
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
        found = {name: text for event in events for name, text in event.get("tags", {}).items()}
        for some in _chunks(
            [RunTag(valid_name(name), text) for name, text in found.items()],
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
        paths = [folder / path for path in dict.fromkeys(event["path"] for event in events)]
        found = [path for path in paths if path.exists()]  # a later event replaced it otherwise
        for path in found:
            self.client.log_artifact(run_id, str(path))
        if found:
            flush_artifacts(self.client.get_run(run_id).info.artifact_uri)

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
        flush_artifacts(model.artifact_location)
        self.client.finalize_logged_model(model.model_id, "READY")

    def _pause(self, run_id: str, folder: Path, events: list[Event]) -> None:
        self._tags(run_id, folder, events)
        self.client.set_terminated(run_id, "KILLED", events[-1]["time"])

    def _end(self, run_id: str, folder: Path, events: list[Event]) -> None:
        self._metrics(run_id, folder, [event for event in events if "metrics" in event])
        self._tags(run_id, folder, events)
        self.client.set_terminated(run_id, events[-1]["status"], events[-1]["time"])


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
