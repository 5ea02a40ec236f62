"""What a user sees of a running search: a live view on a terminal, plain lines otherwise."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mnist_cnn.experiment import Objective
from mnist_cnn.study.outcome import objective_value
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Event


class Progress:
    """Follows the journals of running trials and shows their progress.

    Args:
        console: Where to print.
        objective: The objective by which trials are ranked.
        total: The number of configurations that the study should have.
        deadline: When the search ends at the latest, on the clock of `time.monotonic`.

    Attributes:
        done: The number of configurations that were tried.
        best: The value and the name of the best trial so far; None if there is none.
    """

    def __init__(self, console: Console, objective: Objective, total: int, deadline: float) -> None:
        self.console, self.objective = console, objective
        self.total, self.deadline = total, deadline
        self.done = 0
        self.best: tuple[float, str] | None = None
        self._started = time.monotonic()
        self._offsets: dict[Path, int] = {}
        self._running: dict[Path, _Running] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Print a permanent line."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def follow(self, folder: Path, epochs: int) -> None:
        """Show a run until it ends.

        Args:
            folder: The folder of the run.
            epochs: The number of epochs that it trains.
        """
        _, self._offsets[folder] = journal.read(folder)
        self._running[folder] = _Running(epochs)

    def drop(self, folder: Path) -> None:
        """Stop showing a run."""
        self.update()
        self._running.pop(folder, None)

    def update(self) -> None:
        """Read what is new in the journals and show it."""
        for folder, running in list(self._running.items()):
            events, self._offsets[folder] = journal.read(folder, self._offsets[folder])
            for event in events:
                self._take(folder, running, event)
        if self.console.is_terminal:
            self._live.update(Group(*self._lines()))

    def _take(self, folder: Path, running: "_Running", event: Event) -> None:
        if event["event"] == "start":
            running.name = event["name"]
            running.is_trial = event["tags"].get(tags.KIND) == "trial"
        elif event["event"] == "metrics":
            running.epoch, running.metrics = event["step"], event["metrics"]
        elif event["event"] == "anew":
            self.say(f"{self._clock()}  {running.name} starts over: {event['reason']}")
        elif event["event"] == "end":
            self._running.pop(folder, None)
            self.say(
                f"{self._clock()}  {running.name or folder.name}: {self._ending(running, event)}"
            )

    def _ending(self, running: "_Running", event: Event) -> str:
        state = event["tags"].get(tags.STATE, event["status"])
        value = objective_value(event["metrics"], self.objective.metric)
        if event["status"] == "FAILED":
            return f"failed: {event['tags'].get(tags.REASON, '')}"
        if math.isnan(value):  # the trial was stopped, so it has no final score
            last = running.metrics.get(self.objective.metric, float("nan"))
            how = "" if event.get("stop") == "rung" else f"{state.lower()} "
            return f"{how}after epoch {running.epoch}: {self.objective.metric} {last:.4f}"
        text = f"{self.objective.metric} {value:.4f}"
        if running.is_trial and (self.best is None or self.objective.better(value, self.best[0])):
            self.best = (value, running.name)
            text += ", the best so far"
        return text

    def _lines(self) -> list[Text]:
        left = self.deadline - time.monotonic()
        head = f"{self.done} of {self.total} configurations tried, {self._clock()} elapsed"
        if left != float("inf"):
            head += f", at most {_minutes(max(0.0, left))} left"
        lines = [Text(head, style="bold")]
        for running in self._running.values():
            lines.append(Text(f"  {running.name or 'starting'} · {running.state()}"))
        if self.best:
            lines.append(
                Text(f"  best: {self.objective.metric} {self.best[0]:.4f}, {self.best[1]}", "green")
            )
        return lines

    def _clock(self) -> str:
        return _minutes(time.monotonic() - self._started)


class _Running:
    def __init__(self, epochs: int) -> None:
        self.epochs, self.epoch = epochs, 0
        self.name = ""
        self.is_trial = False
        self.metrics: Mapping[str, Any] = {}

    def state(self) -> str:
        shown = {
            name: self.metrics[name]
            for name in ("loss", "accuracy", "val_loss", "val_accuracy")
            if name in self.metrics
        }
        numbers = " ".join(f"{name} {value:.4f}" for name, value in shown.items())
        return f"epoch {self.epoch} of {self.epochs} {numbers}".rstrip()


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:d}:{seconds:02d}"
