"""The journal of a run: an append-only file of events, from which the run in MLflow is made.

A run writes its events to its journal only. `delivery` brings them to MLflow, now or later, so an
unreachable server never delays training. An event is on the disk when the call that wrote it
returns. A kill leaves at most a torn last line.

Each line is one JSON object. `event` is its kind, and `time` is in milliseconds since 1970:

    begin     name, tags, worker      a worker took the run
    start     name, tags, params, …   the model is built; written again after an interruption
    params    params, values          hyperparameters that were not known at the start
    metrics   step, metrics, stop     one epoch; why training stops after it, or null
    tags      tags
    dataset   name, digest, images, context
    artifact  path                    a file in the journal's folder
    model     path, tags, params, …   a folder in MLflow's model format
    views     note, winner, …         a study's views in the MLflow UI, see `report.view_facts`
    anew      reason                  training starts over: earlier metrics are void
    pause     tags                    the run was interrupted and can be resumed
    end       status, tags, metrics, … MLflow's FINISHED, FAILED or KILLED; the metrics of the run
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
    """The journal of one run, to write and to query. An existing file is continued.

    Args:
        folder: The folder of the run.

    Attributes:
        last: The last event; None before the first.
        begin: The last `begin` event; None if no worker has taken the run.
        times_begun: The number of `begin` events.
        started: Whether the model was ever built.
        end: The `end` event; None if the run has not ended.
        stops: The epochs, from 1, since training last started over. The value says why training
            stops after the epoch; None if it continues.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE_NAME
        self._open = False
        self.last: Event | None = None
        self.begin: Event | None = None
        self.times_begun = 0
        self.started = False
        self.end: Event | None = None
        self.stops: dict[int, Mapping[str, str] | None] = {}
        for event in read(folder)[0]:
            self._note(event)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
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
                self.times_begun += 1
            case "start":
                self.started, self.end = True, None
            case "metrics":
                self.stops[event["step"]] = event.get("stop")
            case "anew":
                self.stops = {}
            case "end":
                self.end = event

    def write(self, event: str, **fields: Any) -> None:
        """Append one event. It is on the disk when this returns.

        Args:
            event: The kind of the event.
            fields: Its other fields, which must be JSON values.

        Raises:
            OSError: The event cannot be written. The file is unchanged.
        """
        if not self._open:
            make_folder(self.folder)
            cut(self.folder)
            self._open = True
        written = {"event": event, "time": int(time.time() * 1000), **fields}
        append(self.folder, json.dumps(written).encode() + b"\n")
        self._note(written)

    def metrics(
        self, step: int, metrics: dict[str, float], stop: Mapping[str, str] | None = None
    ) -> None:
        """Append the metrics of an epoch, unless they were written before an interruption.

        Args:
            step: The epoch, from 1.
            metrics: The values by name.
            stop: Why training stops after this epoch; None if it continues.
        """
        if step > self.last_step:
            self.write("metrics", step=step, metrics=metrics, stop=stop)

    def anew(self, reason: str) -> None:
        """Void the metrics so far, because training starts over."""
        self.write("anew", reason=reason)

    def pause(self, **own_tags: str) -> None:
        """Record that the run was interrupted, unless it never began or has ended."""
        if self.interrupted:
            self.write("pause", tags=own_tags)


def read(folder: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the journal in a folder.

    Args:
        folder: The folder of the run.
        offset: The byte to start from.

    Returns:
        The complete events, and the offset of the byte after them. A missing file has no events.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def append(folder: Path, lines: bytes) -> None:
    """Append complete lines to the journal in a folder. They are on the disk when this returns.

    Args:
        folder: The folder of the run. It must exist.
        lines: The lines, as a journal has them.

    Raises:
        OSError: They cannot be written. The file is unchanged.
    """
    with (folder / FILE_NAME).open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            while lines:  # a disk that is almost full may take a part of them first
                lines = lines[file.write(lines) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
    if not size:
        sync_folder(folder)


def cut(folder: Path) -> int:
    """Remove a torn last line from the journal in a folder. Return the number of bytes left.

    Only the writer does so: others read the file while it is written.
    """
    size = read(folder)[1]
    path = folder / FILE_NAME
    if path.exists():
        os.truncate(path, size)
    return size


def since_anew(events: list[Event]) -> list[Event]:
    """Return the events without metrics that a later `anew` voided."""
    voided = max((i for i, event in enumerate(events) if event["event"] == "anew"), default=-1)
    return [e for i, e in enumerate(events) if i > voided or e["event"] != "metrics"]


def values_of(events: Iterable[Event]) -> dict[str, Any]:
    """Return the hyperparameters as the space saw them, including those declared by its `fit`."""
    found: dict[str, Any] = {}
    for event in events:
        if event["event"] == "start":
            found |= event.get("values") or {}
        elif event["event"] == "params":
            found |= event["values"] if "values" in event else event["params"]  # an older one's
    return found
