"""A run's journal: an append-only file of what happened, from which MLflow's run is made.

A training writes here, and only here. `delivery` brings it to MLflow, now or later, so a server
that is away never holds up a training. An event that was written is on the disk, whatever happens
to the process or the machine. A kill in the midst leaves at most a torn last line.

One JSON object a line; `event` says which:

    begin     name, tags, params          a worker took the run; its trial's parameters so far
    start     name, tags, params          the model is built; again after an interruption
    params    params, values              those that were not known at the start
    metrics   step, metrics, stop         of one epoch; why the training stops after it, or null
    tags      tags
    dataset   name, digest, images, context
    artifact  path                        a file of the journal's folder
    model     path, tags, params          a folder in MLflow's model format
    anew      reason                      the training begins anew: metrics before this are void
    pause     tags                        it was interrupted and may go on
    end       status, tags, step, metrics MLflow's FINISHED, FAILED or KILLED; the run's summary

`time` is in milliseconds since 1970, as MLflow wants it.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnist_cnn.files import make_folder, sync_folder

Event = dict[str, Any]

FILE_NAME = "journal.jsonl"


class Journal:
    """The writing end, for one run in `folder`. It goes on with the file that is there.

    Attributes:
        last: The last event; None before the first.
        begin: The event of the last time that a worker took the run; None before the first.
        begins: How often one did.
        started: Whether its model was ever built.
        end: The event of its end; None before that.
        stops: For each epoch since the training began anew, why it stops after it, or None.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE_NAME
        self._open = False
        self.last: Event | None = None
        self.begin: Event | None = None
        self.begins = 0
        self.started = False
        self.end: Event | None = None
        self.stops: dict[int, Mapping[str, str] | None] = {}
        for event in read(folder)[0]:
            self._note(event)

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return self.end is not None

    @property
    def last_step(self) -> int:
        """The last epoch that has metrics; 0 before the first."""
        return max(self.stops, default=0)

    @property
    def interrupted(self) -> bool:
        """Whether the run began and was neither paused nor ended."""
        return self.last is not None and self.last["event"] != "pause" and not self.ended

    def _note(self, event: Event) -> None:
        self.last = event
        match event["event"]:
            case "begin":
                self.begin = event
                self.begins += 1
            case "start":
                self.started, self.end = True, None
            case "metrics":
                self.stops[event["step"]] = event.get("stop")
            case "anew":
                self.stops = {}
            case "end":
                self.end = event

    def write(self, event: str, **fields: Any) -> None:
        """Append one event, which is on the disk when this returns.

        Raises:
            OSError: It cannot be written; nothing is.
        """
        if not self._open:
            self._cut_torn_line()
        written = {"event": event, "time": int(time.time() * 1000), **fields}
        line = json.dumps(written).encode() + b"\n"
        with self._path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while line:  # the end of the disk may take a part of it before it refuses
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        if not size:
            sync_folder(self.folder)
        self._note(written)

    def _cut_torn_line(self) -> None:
        """Make room for whole lines. Only who writes does it: others look while a worker writes."""
        make_folder(self.folder)
        if self._path.exists():
            os.truncate(self._path, read(self.folder)[1])  # a kill in the midst of a line
        self._open = True

    def metrics(
        self, step: int, metrics: dict[str, float], stop: Mapping[str, str] | None = None
    ) -> None:
        """Append the metrics of an epoch, unless they are there from before an interruption.

        Args:
            step: The epoch, from 1.
            metrics: By name.
            stop: Why the training stops after it; None if it goes on.
        """
        if step > self.last_step:
            self.write("metrics", step=step, metrics=metrics, stop=stop)

    def anew(self, reason: str) -> None:
        """Void the metrics so far, since the training begins anew."""
        self.write("anew", reason=reason)

    def pause(self, **own_tags: str) -> None:
        """Note that the run was interrupted and may go on, unless it never began or has ended."""
        if self.interrupted:
            self.write("pause", tags=own_tags)


def read(folder: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Return the whole events of a folder's journal from a byte on, and the offset after them."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def since_anew(events: list[Event]) -> list[Event]:
    """Return the events without the metrics that a later `anew` made void."""
    voided = max((i for i, event in enumerate(events) if event["event"] == "anew"), default=-1)
    return [e for i, e in enumerate(events) if i > voided or e["event"] != "metrics"]


def values_of(events: Iterable[Event]) -> dict[str, Any]:
    """Return the hyperparameters as the space saw them, those that its own `fit` declared too."""
    found: dict[str, Any] = {}
    for event in events:
        if event["event"] == "start":
            found |= event.get("values") or {}
        elif event["event"] == "params":
            found |= event["values"] if "values" in event else event["params"]  # an older one's
    return found
