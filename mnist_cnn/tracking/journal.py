"""A run's journal: an append-only file of what happened, from which MLflow's run is made.

A training writes here, and only here. `delivery` brings it to MLflow, now or later; so a server
that is away never holds up a training. An event that was written is on the disk, whatever happens
to the process or the machine; a kill in the midst leaves at most a torn last line.

One JSON object a line; `event` says which:

    start     name, tags, params          the run begins, or goes on after an interruption
    params    params                      those that were not known at the start
    metrics   step, metrics               of one epoch
    tags      tags
    dataset   name, digest, images, context
    artifact  path                        a file of the journal's folder
    model     path, tags, params          a folder in MLflow's model format
    pause     tags                        it was interrupted and may go on
    end       status, tags, step, metrics MLflow's FINISHED, FAILED or KILLED; the run's summary

`time` is in milliseconds since 1970, as MLflow wants it.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]

FILE_NAME = "journal.jsonl"


class Journal:
    """The writing end, for one run in `folder`; goes on with the file that is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE_NAME
        self._open = False
        events, _ = read(folder)
        self.last_step = max((e["step"] for e in events if e["event"] == "metrics"), default=0)
        self.last: Event | None = events[-1] if events else None

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return self.last is not None and self.last["event"] == "end"

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; it is on the disk when this returns. Raises OSError if it cannot be."""
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
        self.last = written

    def _cut_torn_line(self) -> None:
        """Make room for whole lines. Only who writes does it: others look while a worker writes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            os.truncate(self._path, read(self.folder)[1])  # a kill in the midst of a line
        self._open = True

    def pause(self, **own_tags: str) -> None:
        """Note that the run was interrupted and may go on, unless it never began or has ended."""
        if self.last is not None and not self.ended:
            self.write("pause", tags=own_tags)

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Append the metrics of `step`, unless they are there from before an interruption."""
        if step > self.last_step:
            self.write("metrics", step=step, metrics=metrics)
            self.last_step = step


def read(folder: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The whole events of a folder's journal from byte `offset`, and the offset after the last."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)
