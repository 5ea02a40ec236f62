"""Delivers journals to MLflow. A delivery can be repeated at any time with the same result.

A study has a folder, and each of its runs (a trial, a confirmation) has a folder in it. Beside each
journal is `delivered.json`, which records the store, the id of the run there, and the byte up to
which the journal was delivered. A kill between a delivery and this note duplicates nothing: a run
is found again by its tag `journal` and its start time, metrics carry the times of the journal, and
MLflow stores equal metrics once.
"""

import json
import os
import threading
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from mnist_cnn.files import replace_file
from mnist_cnn.mlruns import DELIVERED_FILE
from mnist_cnn.tracking import journal, tags, views
from mnist_cnn.tracking.client import in_filter, user
from mnist_cnn.tracking.events import WRITERS
from mnist_cnn.tracking.journal import Event
from mnist_cnn.urls import hide_passwords

# Errors that concern one run, such as one that somebody deleted. They do not delay other runs.
ABOUT_ONE_RUN = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


class Delivery:
    """Brings MLflow up to date with the journals of one study.

    Args:
        client: The client of MLflow.
        experiment_id: The id of MLflow's experiment.
        study_folder: The study's folder, which holds its own journal and a folder for each run.
        abandoned: Once it is set, no further folder is delivered.

    Attributes:
        news: Messages about runs that were restored in MLflow.
        views: The addresses of the views that were set, by title, see `views.addresses`.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        study_folder: Path,
        abandoned: threading.Event | None = None,
    ) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.study_folder = study_folder
        self._abandoned = abandoned or threading.Event()
        self._store = hide_passwords(client.tracking_uri)  # the notes are readable by everybody
        self._open: set[Path] = set()  # runs that have not ended, or that no worker has taken yet
        self._looked = False  # whether `_open` has the runs that existed at the start
        self.news: list[str] = []
        self.views: dict[str, str] = {}

    def deliver(self) -> None:
        """Deliver everything in the journals that MLflow does not have yet.

        The first call reads the journals of all runs, later calls only those that have not ended.

        Raises:
            MlflowException: MLflow does not answer. Or it refused a run; then all other runs were
                delivered first.
        """
        if not self._looked:
            self._open |= {f for f in self._run_folders() if not self._note(f)["ended"]}
            self._looked = True
        parent = self._deliver_folder(self.study_folder, None)
        if parent is None:
            return
        if problem := self._deliver_open(parent):
            raise problem

    def _deliver_open(self, parent: str) -> MlflowException | None:
        """Deliver the open runs of the study. Return the first refusal of one, if there is any."""
        problem = None
        for folder in sorted(self._open):
            try:
                self._deliver_folder(folder, parent)
            except MlflowException as error:
                if error.error_code not in ABOUT_ONE_RUN:
                    raise
                problem = problem or error
        return problem

    def follow(self, folder: Path) -> None:
        """Include a run that begins, or is resumed, in later deliveries."""
        self._open.add(folder)

    def reconcile(self) -> list[str]:
        """Repair what others changed in MLflow's runs or in the journals.

        Runs that MLflow has lost will be delivered again. Runs whose journal is gone are ended.

        Returns:
            One message for each run that was repaired.
        """
        lines = []
        runs = self._runs_in_mlflow()
        known = {run.info.run_id for run in runs}
        for folder in (self.study_folder, *self._run_folders()):
            run_id = self._note(folder)["run"]
            if run_id and run_id not in known:
                (folder / DELIVERED_FILE).unlink()
                lines.append(f"MLflow had lost the run of {folder.name}; delivering it again")
        ours = self._note(self.study_folder)["run"]
        for run in runs:
            folder = self.study_folder.parent / run.data.tags[tags.JOURNAL]
            lost = run.info.status == "RUNNING" and not (folder / journal.FILE_NAME).exists()
            if lost and run.data.tags.get(tags.PARENT) == ours:
                self.client.set_terminated(run.info.run_id, "KILLED")
                lines.append(f"the files of {folder.name} are gone; ended its run in MLflow")
        return lines

    def _runs_in_mlflow(self) -> list[Run]:
        """Return this study's runs, including deleted ones."""
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                f"tags.journal LIKE {in_filter(f'{self.study_folder.name}%')}",
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
        """Return the note that says how far the journal in `folder` was delivered to this store."""
        try:
            note: dict[str, Any] = json.loads((folder / DELIVERED_FILE).read_text())
            if hide_passwords(note["store"]) == self._store:
                return note
        except (FileNotFoundError, ValueError, KeyError):  # none yet, or torn by a power cut
            pass
        return {"store": self._store, "run": None, "offset": 0, "ended": False}

    def _deliver_folder(self, folder: Path, parent: str | None) -> str | None:
        """Deliver a journal's new events. Return the id of the run, None before its start."""
        state = self._note(folder)
        if self._abandoned.is_set():
            return None
        events, offset = journal.read(folder, state["offset"])
        if any(event["event"] == "anew" for event in events):
            # MLflow cannot delete metrics, so a run that starts over gets another one there.
            if state["run"]:
                self._delete(state["run"])
            state["run"] = None
            events = journal.since_anew(journal.read(folder)[0])
        for kind, group in groupby(events, key=lambda event: event["event"]):
            alike = list(group)
            if kind == "start":
                state["run"] = self._find_or_create(folder, parent, alike[-1]["name"])
            if state["run"]:
                self._write_or_restore(kind, state["run"], folder, alike)
        if events:
            state |= {"store": self._store, "offset": offset, "ended": events[-1]["event"] == "end"}
            content = json.dumps(state)
            replace_file(folder / DELIVERED_FILE, lambda file: file.write_text(content))
        if state["ended"]:
            self._open.discard(folder)
        run_id: str | None = state["run"]
        return run_id

    def _write_or_restore(self, kind: str, run_id: str, folder: Path, events: list[Event]) -> None:
        """Write events of one kind. If the run had been deleted in MLflow, it is restored first."""
        try:
            self._write(kind, run_id, folder, events)
        except MlflowException as error:
            if error.error_code not in ABOUT_ONE_RUN or not self._restore(run_id, folder):
                raise
            self._write(kind, run_id, folder, events)

    def _write(self, kind: str, run_id: str, folder: Path, events: list[Event]) -> None:
        if kind == "views":
            self._set_views(run_id, events[-1])
        elif kind in WRITERS:
            WRITERS[kind](self.client, run_id, folder, events)

    def _restore(self, run_id: str, folder: Path) -> bool:
        """Restore a run in MLflow. Return whether it had been deleted."""
        if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
            return False
        self.client.restore_run(run_id)
        self.news.append(f"the run of {folder.name} had been deleted in MLflow; restored it")
        return True

    def _delete(self, run_id: str) -> None:
        if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
            self.client.delete_run(run_id)

    def _find_or_create(self, folder: Path, parent: str | None, name: str) -> str:
        """Return the id of the run in MLflow that belongs to a journal."""
        key = str(folder.relative_to(self.study_folder.parent))
        everything, _ = journal.read(folder)
        began = max([e["time"] for e in everything if e["event"] == "anew"], default=None)
        began = began or everything[0]["time"]
        found = self.client.search_runs(
            [self.experiment_id],
            # Other people may deliver to the same server, with studies of the same names.
            f"tags.journal = {in_filter(key)} and attributes.start_time = {began}",
            ViewType.ALL,
            max_results=1,
        )
        if found:
            run_id = str(found[0].info.run_id)
            self._restore(run_id, folder)
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        own_tags = {
            tags.JOURNAL: key,
            tags.USER: user(),
            tags.STUDY: self.study_folder.name,
            tags.SOURCE: "mnist-cnn",
            tags.SOURCE_TYPE: "LOCAL",
            **({tags.PARENT: parent} if parent else {}),
        }
        run = self.client.create_run(self.experiment_id, began, own_tags, run_name=name)
        return str(run.info.run_id)

    def _set_views(self, run_id: str, event: Event) -> None:
        """Set the views of a study, and the description of its run, which begins with links."""
        study = self.study_folder.name
        self._deliver_open(run_id)  # a view names two of them by their ids
        winner, baseline = (
            self._note(self.study_folder / event[name])["run"] if event[name] else None
            for name in ("winner", "baseline")
        )
        found = views.view_tags(study, event, winner, baseline)
        for tag, text in found.items():
            self.client.set_experiment_tag(self.experiment_id, tag, text)
        # Such as the winner against the baseline, if the baseline now is the winner.
        known = self.client.get_experiment(self.experiment_id).tags
        for tag in set(views.tags_of(study, known)) - found.keys():
            self.client.delete_experiment_tag(self.experiment_id, tag)
        self.views = views.addresses(self.experiment_id, study, found)
        links = " · ".join(f"[{title}]({place[1:]})" for title, place in self.views.items())
        self.client.set_tag(run_id, tags.NOTE, f"{links}\n\n{event['note']}")
