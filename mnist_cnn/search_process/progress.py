"""Shows the progress of a running search: a live view in a terminal, plain lines otherwise."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mnist_cnn.objectives import ACCURACY, Objective
from mnist_cnn.report.text import STATE_WORDS, number
from mnist_cnn.study.outcome import objective_value
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Event

# The phases of a search.
EXPLORING, CONFIRMING, REPORT = "exploring", "confirming", "report"
BEGINNINGS = {
    CONFIRMING: "training the best again on fresh seeds",
    REPORT: "writing the report",
}


class Progress:
    """Follows the journals of running trials and shows their progress.

    Args:
        console: Where to print.
        objectives: The objectives. Trials that were stopped are shown by the first one.
        total: The number of configurations that the study should have.
        started: When the command began, on the clock of `time.monotonic`.

    Attributes:
        done: The number of configurations that were tried.
        best: The value and the name of the best trial so far; None if there is none, or several
            objectives.
    """

    def __init__(
        self, console: Console, objectives: Sequence[Objective], total: int, started: float
    ) -> None:
        self.console, self.objectives, self.total = console, objectives, total
        self.done = 0
        self.best: tuple[float, str] | None = None
        self._started = started
        self._phases: Mapping[str, float] = {}
        self._expected = self._started  # the moment for which `_phases` holds
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

    def expect(self, phases: Mapping[str, float]) -> None:
        """Show how many seconds the current phase and the later ones are expected to take.

        Args:
            phases: The seconds from now by phase, the current one first. Infinite or NaN means
                unknown.
        """
        self._phases, self._expected = phases, time.monotonic()

    def begin(self, phases: Mapping[str, float]) -> None:
        """Print that a later phase begins, and how long it will take, see `expect`."""
        self.expect(phases)
        phase, seconds = next(iter(phases.items()))
        about = f", about {_minutes(seconds)}" if 1 <= seconds < math.inf else ""
        self.say(f"{self._clock()}  {BEGINNINGS[phase]}{about}")
        self.update()

    def follow(self, folder: Path, epochs: int) -> None:
        """Show a run until it ends.

        Args:
            folder: The folder of the run.
            epochs: The number of epochs that it trains.
        """
        events, self._offsets[folder] = journal.read(folder)
        running = self._running[folder] = _Running(epochs)
        for event in journal.since_anew(events):  # from before an interruption
            if event["event"] == "metrics":
                running.epoch, running.metrics = event["step"], event["metrics"]

    def drop(self, folder: Path) -> None:
        """Stop showing a run."""
        self.update()
        self._running.pop(folder, None)

    def update(self) -> None:
        """Read new events from the journals and show them."""
        for folder, running in list(self._running.items()):
            events, self._offsets[folder] = journal.read(folder, self._offsets[folder])
            for event in events:
                self._take(folder, running, event)
        if self.console.is_terminal:
            self._live.update(Group(*self._lines()))

    def _take(self, folder: Path, running: "_Running", event: Event) -> None:
        if event["event"] == "begin":
            running.node = event.get("node", "")
        elif event["event"] == "start":
            running.name = event["name"]
            running.is_trial = event["tags"].get(tags.KIND) == "trial"
        elif event["event"] == "metrics":
            running.epoch, running.metrics = event["step"], event["metrics"]
        elif event["event"] == "anew":
            self.say(f"{self._clock()}  {running.name} starts over: {event['reason']}")
        elif event["event"] == "end":
            self._running.pop(folder, None)
            if event.get("repeats") is not None:
                return  # it was not trained, and a small space has many of them
            self.say(
                f"{self._clock()}  {running.name or folder.name}{running.place}: "
                f"{self._ending(running, event)}"
            )

    def _ending(self, running: "_Running", event: Event) -> str:
        first = self.objectives[0]
        value = objective_value(event["metrics"], first.metric)
        if event["status"] == "FAILED":
            return f"failed: {event['tags'].get(tags.REASON, '')}"
        if math.isnan(value):  # the trial was stopped, so it has no final score
            state = STATE_WORDS[TrialState[event["tags"][tags.STATE]]]
            if not running.epoch:
                return f"{state} before training: {event['tags'].get(tags.REASON, '')}"
            how = "" if event.get("stop") == "rung" else f"{state} "
            metrics = _shown(running.metrics, [first.metric]) or f"no {first.metric}"
            return f"{how}after epoch {running.epoch}: {metrics}"
        text = _shown(event["metrics"], [objective.metric for objective in self.objectives])
        if event.get("reason"):  # it violates a constraint
            text += f", but {event['reason']}"
        elif running.is_trial and self._is_best(value):
            self.best = (value, running.name)
            text += ", the best so far"
        return text

    def _is_best(self, value: float) -> bool:
        if len(self.objectives) > 1:
            return False
        return self.best is None or self.objectives[0].better(value, self.best[0])

    def _lines(self) -> list[Text]:
        head = f"{self._clock()}  {self.done} of {self.total} configurations tried"
        lines = [Text(head, style="bold"), Text(f"  {self._time_left()}")]
        metric = self.objectives[0].metric
        for running in self._running.values():
            lines.append(Text(f"  {running.line(metric)}"))
        if self.best:
            lines.append(Text(f"  best: {metric} {number(self.best[0])}, {self.best[1]}", "green"))
        for line in lines:  # a live view cannot scroll, and must not break into more lines
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines

    def _time_left(self) -> str:
        """Return the time of each phase, such as `exploring about 4:10, then confirming 0:40`."""
        gone, about, texts = time.monotonic() - self._expected, " about", []
        for phase, seconds in self._phases.items():
            known = math.isfinite(seconds)
            texts.append(phase + (f"{about} {_minutes(max(0.0, seconds - gone))}" if known else ""))
            gone, about = 0.0, ""  # the later ones have not begun
        if len(texts) < 2:
            return "".join(texts)
        return f"{texts[0]}, then {', '.join(texts[1:])}"

    def _clock(self) -> str:
        return _minutes(time.monotonic() - self._started)


class _Running:
    def __init__(self, epochs: int) -> None:
        self.epochs, self.epoch = epochs, 0
        self.name, self.node = "", ""
        self.is_trial = False
        self.metrics: Mapping[str, Any] = {}

    @property
    def place(self) -> str:
        """The node of a cluster on which it runs, to follow its name; "" without a cluster."""
        return f" on {self.node}" if self.node else ""

    def line(self, metric: str) -> str:
        """The trial, its epoch and its metrics, the most important first: the end may be cut."""
        trial, _, words = self.name.partition(" · ")
        names = dict.fromkeys((metric, ACCURACY, "val_loss", "accuracy", "loss"))
        shown = [f"{name} {number(self.metrics[name])}" for name in names if name in self.metrics]
        place = self.place.removeprefix(" ")
        parts = [trial or "starting", place, f"epoch {self.epoch} of {self.epochs}", *shown, words]
        return " · ".join(part for part in parts if part)


def _shown(metrics: Mapping[str, Any], objectives: Sequence[str]) -> str:
    """Format the objectives of a run, and its accuracy, which people know best."""
    values = {name: objective_value(metrics, name) for name in (*objectives, ACCURACY)}
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    return ", ".join(f"{name} {number(value)}" for name, value in known.items())


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:d}:{seconds:02d}"
