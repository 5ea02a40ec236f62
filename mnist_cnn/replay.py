"""The `replay` subcommand: trains a run again and compares the results bit by bit."""

import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import DEFAULT, ExperimentId
from mnist_cnn.mlruns import own_folder
from mnist_cnn.project.loading import find_experiment
from mnist_cnn.project.sources import Source, current
from mnist_cnn.registry import models, store
from mnist_cnn.report.text import counted
from mnist_cnn.retrain import Recorded, recorded, retrain
from mnist_cnn.tracking import tags
from mnist_cnn.training.retrained import Retrained, differences

TIMES = {"epoch_seconds"}  # metrics that differ each time


def replay(run_id: str) -> Iterator[str]:
    """Train a run again and compare the results.

    The journal in the run's folder is replayed, not the record in MLflow. So editing the run in
    MLflow cannot change the code that runs here.

    Args:
        run_id: The id of the MLflow run of a trial or a confirmation.

    Yields:
        Messages about what is the same and what differs.

    Raises:
        UserError: The run has no journal here, or another version of this package trained it. After
            the messages, also if the outcome differs.
    """
    with store.answering():
        client = store.connect(ExperimentId(DEFAULT))
        run = models.get_run(client, run_id)
        name = str(client.get_experiment(run.info.experiment_id).name)
    experiment, was = find_experiment(name), _recorded(run)
    name, epochs = run.info.run_name, len(was.history)
    yield f"replaying {name} ({counted(epochs, 'epoch')})"
    for module in _changed(was.sources):
        yield f"{module} has changed since; replaying with its old text"
    with tempfile.TemporaryDirectory() as folder:
        now = retrain(experiment, was, epochs, Path(folder))
    changed = list(differences(was.recipe, now.recipe))
    for what, before, after in changed:
        yield f"changed: {what} was {_short(before)}, is {_short(after)}"
    outcome = list(_outcome(was, now))
    yield from outcome
    if outcome:
        reason = "see above" if changed else "although nothing that it depends on has changed"
        raise UserError(f"the replay of {name} gave a different result, {reason}")
    yield f"identical: {counted(epochs, 'epoch')} of metrics, weights {now.weights[:12]}"


def _recorded(run: Run) -> Recorded:
    folder = own_folder(run.data.tags.get(tags.JOURNAL, ""))
    found = recorded(folder) if folder else None
    if found is None:
        raise UserError(
            f"run {run.info.run_id!r} cannot be replayed: it is not a trial or a confirmation "
            "whose training ended, or its files are not in mlruns/ here"
        )
    trained_by, ours = found.recipe["versions"]["mnist-cnn"], version("mnist-cnn")
    if trained_by != ours:
        raise UserError(
            f"{run.info.run_name} was trained by mnist-cnn {trained_by}, but this is {ours}; "
            f"install mnist-cnn {trained_by} to replay it"
        )
    return found


def _changed(modules: dict[str, Source]) -> list[str]:
    """Return the names of the modules whose files have changed."""
    return [name for name, source in modules.items() if current(name) != source]


def _short(value: Any) -> str:
    """Return a value as text. A digest is abbreviated."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch("[0-9a-f]{64}", text) else text


def _outcome(was: Recorded, now: Retrained) -> Iterator[str]:
    """Yield a message for each difference between two outcomes."""
    for epoch, (old, new) in enumerate(zip(was.history, now.history, strict=False), start=1):
        for name in sorted(new.keys() & old.keys() - TIMES):
            if old[name] != new[name]:
                yield f"differs: {name} of epoch {epoch} was {old[name]!r}, is {new[name]!r}"
    if len(was.history) != len(now.history):
        yield f"differs: it had {counted(len(was.history), 'epoch')}, now {len(now.history)}"
    if was.weights != now.weights:
        yield f"differs: weights were {was.weights[:12]}, are {now.weights[:12]}"
