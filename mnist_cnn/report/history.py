"""What a study's runs did and when, read from their journals once, for tables and pictures."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mnist_cnn.tracking import journal
from mnist_cnn.tracking.journal import Event


class Stretch(NamedTuple):
    """From a run's start to its end or interruption, in seconds since 1970.

    worker: the number of the process that trained it, "" if the journal does not say.
    """

    start: float
    end: float
    worker: str = ""


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """One run as its journal tells it.

    kind: trial or confirmation; trial: its number, or that of the trial it confirms.
    state: COMPLETE, PRUNED, FAIL, or "" of a run that has not ended.
    values: the hyperparameters as the space saw them.
    epochs: the metrics of each epoch.
    stretches: when it was trained, one after another if it was interrupted.
    reason: why it ended early.
    """

    folder: Path
    kind: str
    trial: int
    state: str
    values: Mapping[str, Any]
    epochs: Mapping[int, Mapping[str, float]]
    stretches: tuple[Stretch, ...]
    reason: str

    @property
    def seconds(self) -> float:
        """The time it was trained for, without interruptions."""
        return sum(stretch.end - stretch.start for stretch in self.stretches)


def run_histories(study_folder: Path) -> list[RunHistory]:
    """The histories of a study's trials and confirmations, by the name of their folder.

    A run that was never built has none.
    """
    if not study_folder.is_dir():
        return []
    found = []
    for entry in sorted(os.scandir(study_folder), key=lambda entry: entry.name):
        if entry.is_dir():
            events, _ = journal.read(Path(entry))
            if any(event["event"] == "start" for event in events):
                found.append(_history(Path(entry), events))
    return found


def values_of(events: Iterable[Event]) -> dict[str, Any]:
    """The hyperparameters as the space saw them, those that its own `fit` declared too."""
    found: dict[str, Any] = {}
    for event in events:
        if event["event"] == "start":
            found |= event.get("values") or {}
        elif event["event"] == "params":
            found |= event["params"]
    return found


def of_trials(histories: Iterable[RunHistory]) -> dict[int, RunHistory]:
    """Those of trials by their number, without the confirmations."""
    return {history.trial: history for history in histories if history.kind == "trial"}


# A confirmation's end has only MLflow's word for it.
_STATES = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "PRUNED"}


def _history(folder: Path, events: list[Event]) -> RunHistory:
    start = [event for event in events if event["event"] == "start"][-1]
    last = events[-1]
    return RunHistory(
        folder=folder,
        kind=start["tags"]["kind"],
        trial=int(start["tags"]["optuna.trial"]),
        state=_STATES[last["status"]] if last["event"] == "end" else "",
        values=values_of(events),
        epochs={event["step"]: event["metrics"] for event in events if event["event"] == "metrics"},
        stretches=_stretches(events),
        reason=last.get("tags", {}).get("reason", ""),
    )


def _stretches(events: list[Event]) -> tuple[Stretch, ...]:
    """A killed run has no event of its end: its stretch ends with the last thing it wrote."""
    found, begin, before, worker = [], None, 0.0, ""
    for event in events:
        seconds = event["time"] / 1000
        if event["event"] == "start":
            if begin is not None:
                found.append(Stretch(begin, before, worker))
            begin, worker = seconds, event.get("worker", "")
        elif event["event"] in ("pause", "end") and begin is not None:
            found.append(Stretch(begin, seconds, worker))
            begin = None
        before = seconds
    if begin is not None:
        found.append(Stretch(begin, before, worker))
    return tuple(found)
