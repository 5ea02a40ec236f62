"""The history of a study's runs, from their journals."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Event, since_anew, values_of

# A run's last event has the status for MLflow; a confirmation's has no other.
_STATES = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "PRUNED"}


class Interval(NamedTuple):
    """A time span in which a run was trained, from its start to its end or interruption.

    Attributes:
        start: In seconds since 1970.
        end: In seconds since 1970.
        worker: The number of the process that trained it, from 1; "" if unknown.
    """

    start: float
    end: float
    worker: str = ""


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """One run, as recorded in its journal.

    Attributes:
        folder: The folder of the run's files.
        kind: trial or confirmation.
        trial: The number of the trial; of a confirmation, that of the trial that it confirms.
        state: COMPLETE, PRUNED or FAIL; "" if the run has not ended.
        values: The hyperparameters as the search space saw them.
        params: These and the run's own parameters, under their names in MLflow.
        epochs: The metrics of each epoch, by its number from 1.
        intervals: When it was trained; several if it was interrupted.
        reason: Why it ended early; "" if it did not.
    """

    folder: Path
    kind: str
    trial: int
    state: str
    values: Mapping[str, Any]
    params: Mapping[str, Any]
    epochs: Mapping[int, Mapping[str, float]]
    intervals: tuple[Interval, ...]
    reason: str

    @property
    def seconds(self) -> float:
        """The time for which it was trained, without interruptions."""
        return sum(interval.end - interval.start for interval in self.intervals)


def run_histories(study_folder: Path) -> list[RunHistory]:
    """Return the histories of a study's trials and confirmations, in the order of their folders.

    A run that was lost before it was built has none.
    """
    if not study_folder.is_dir():
        return []
    found = []
    for entry in sorted(os.scandir(study_folder), key=lambda entry: entry.name):
        if entry.is_dir():
            events = since_anew(journal.read(Path(entry))[0])
            if any(event["event"] == "start" for event in events):
                found.append(_history(Path(entry), events))
    return found


def of_trials(histories: Iterable[RunHistory]) -> dict[int, RunHistory]:
    """Return the histories of the trials by number, without those of confirmations."""
    return {history.trial: history for history in histories if history.kind == "trial"}


def _history(folder: Path, events: list[Event]) -> RunHistory:
    start = [event for event in events if event["event"] == "start"][-1]
    last = events[-1]
    return RunHistory(
        folder=folder,
        kind=start["tags"][tags.KIND],
        trial=int(start["tags"][tags.TRIAL]),
        state=_STATES[last["status"]] if last["event"] == "end" else "",
        values=values_of(events),
        params={name: v for event in events for name, v in event.get("params", {}).items()},
        epochs={event["step"]: event["metrics"] for event in events if event["event"] == "metrics"},
        intervals=_intervals(events),
        reason=last.get("tags", {}).get(tags.REASON, ""),
    )


def _intervals(events: list[Event]) -> tuple[Interval, ...]:
    """Return when the run was trained.

    A killed run has no `end` event: its interval ends with its last event.
    """
    found, begin, before, worker = [], None, 0.0, ""
    for event in events:
        seconds = event["time"] / 1000
        if event["event"] == "start":
            if begin is not None:
                found.append(Interval(begin, before, worker))
            begin, worker = seconds, event.get("worker", "")
        elif event["event"] in ("pause", "end") and begin is not None:
            found.append(Interval(begin, seconds, worker))
            begin = None
        before = seconds
    if begin is not None:
        found.append(Interval(begin, before, worker))
    return tuple(found)
