"""What a run's journal recorded of its training, and that training once more."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mnist_cnn.mlruns import SOURCES_FILE
from mnist_cnn.sources import Source
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import read, since_anew
from mnist_cnn.training import tasks
from mnist_cnn.training.replayed import Replayed
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import Workers


@dataclass(frozen=True)
class Recorded:
    """A training as its run's journal has it.

    Attributes:
        folder: Of the run.
        recipe: All that its outcome depended on.
        history: The metrics of each epoch.
        weights: The SHA-256 of the saved weights.
    """

    folder: Path
    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str

    @property
    def sources(self) -> dict[str, Source]:
        """The modules that it depended on, as the run kept them; none if they are not still that.

        They are code that will run, so each must have the digest that the journal names.
        """
        try:
            text = (self.folder / SOURCES_FILE).read_text(encoding="utf-8")
            found = {name: Source(**facts) for name, facts in json.loads(text).items()}
        except (OSError, ValueError, TypeError):
            return {}
        digests = {
            name: hashlib.sha256(source.text.encode()).hexdigest() for name, source in found.items()
        }
        return found if digests == self.recipe["sources"] else {}


def recorded(folder: Path) -> Recorded | None:
    """Return what the journal in `folder` recorded; None if no training came to an end there."""
    events = since_anew(read(folder)[0])
    tagged = [event["tags"] for event in events if "tags" in event]
    recipes = [found[tags.RECIPE] for found in tagged if tags.RECIPE in found]
    weights = [found[tags.WEIGHTS] for found in tagged if tags.WEIGHTS in found]
    if not recipes or not weights:
        return None
    history = [event["metrics"] for event in events if event["event"] == "metrics"]
    return Recorded(folder, json.loads(recipes[-1]), history, weights[-1])


def retrain(experiment: str, run: Recorded, epochs: int | None, folder: Path) -> Replayed:
    """Train a recorded run again in a process of its own, set up as then.

    Args:
        experiment: The experiment's name.
        run: What was recorded.
        epochs: After how many the run was stopped; None lets it end by itself and saves its model.
        folder: Takes the files.
    """
    (environment,) = machine.worker_environments(1)
    threads = run.recipe["threads"]
    if threads.isdigit():  # sums are taken in another order by another number of threads
        environment |= machine.threads_environment(int(threads))
    if "backend" in run.recipe:
        environment["KERAS_BACKEND"] = run.recipe["backend"]
    with Workers([environment], folder / "log") as workers:
        call = partial(tasks.again, experiment, run.recipe, epochs, run.sources, folder / "run")
        replayed: Replayed = workers.call(call)
        return replayed
