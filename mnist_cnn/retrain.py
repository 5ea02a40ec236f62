"""Reads from a journal everything that a run depended on, and repeats the run."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import SOURCES_FILE
from mnist_cnn.project.sources import Source
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import read, since_anew
from mnist_cnn.training import tasks
from mnist_cnn.training.retrained import Retrained
from mnist_cnn.workers import machine
from mnist_cnn.workers.local_pool import Workers


@dataclass(frozen=True)
class Recorded:
    """A run, as recorded in its journal.

    Attributes:
        folder: The folder of the run.
        recipe: Everything that the outcome depended on.
        history: The metrics of each epoch.
        weights: The SHA-256 of the saved weights, in hexadecimal.
    """

    folder: Path
    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str

    @property
    def sources(self) -> dict[str, Source]:
        """The modules that the run depended on, as it stored them.

        They will run as code, so each must have the digest that the journal records. Otherwise the
        result is empty.
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
    """Return the run recorded in a folder; None if no run has ended there."""
    events = since_anew(read(folder)[0])
    tagged = [event["tags"] for event in events if "tags" in event]
    recipes = [found[tags.RECIPE] for found in tagged if tags.RECIPE in found]
    weights = [found[tags.WEIGHTS] for found in tagged if tags.WEIGHTS in found]
    if not recipes or not weights:
        return None
    history = [event["metrics"] for event in events if event["event"] == "metrics"]
    return Recorded(folder, json.loads(recipes[-1]), history, weights[-1])


def retrain(experiment: ExperimentId, run: Recorded, epochs: int | None, folder: Path) -> Retrained:
    """Repeat a recorded run, in a new process with the same threads and backend.

    Args:
        experiment: The identity of the experiment.
        run: The recorded run.
        epochs: The number of epochs after which it was stopped. None trains to the end and saves
            the model.
        folder: The folder for the files. The run's own are in its sub-folder `run`.

    Raises:
        UserError: The run cannot be repeated.
    """
    (environment,) = machine.worker_environments(1)
    threads = run.recipe["threads"]
    if threads.isdigit():  # the number of threads determines the order of summation
        environment |= machine.threads_environment(int(threads))
    if "backend" in run.recipe:
        environment["KERAS_BACKEND"] = run.recipe["backend"]
    with Workers([environment], folder / "log") as workers:
        call = partial(tasks.retrain, experiment, run.recipe, epochs, run.sources, folder / "run")
        retrained: Retrained = workers.call(call)
        return retrained
