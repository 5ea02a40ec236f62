"""Replay: a run's training is repeated from what its journal recorded, and compared to the bit."""

import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import own_folder
from mnist_cnn.registry import models, store
from mnist_cnn.retrain import Recorded, recorded, retrain
from mnist_cnn.sources import Source, current
from mnist_cnn.tracking import tags
from mnist_cnn.training.replayed import Replayed, differences

TIMES = {"epoch_seconds"}  # differ every time, and say nothing of the outcome


def replay(run_id: str) -> Iterator[str]:
    """Train a run again.

    Args:
        run_id: Of a trial's or a confirmation's run in MLflow. Its folder in mlruns/ is what is
            replayed: nothing that MLflow says of it becomes code that runs.

    Yields:
        Lines that say what is the same and what differs.

    Raises:
        UserError: The run has no recipe here or is of another version of this package; and, after
            the lines, the outcome differs.
    """
    with store.answering():
        client = store.connect("mnist")
        run = models.get_run(client, run_id)
        experiment = str(client.get_experiment(run.info.experiment_id).name)
    was = _recorded(run)
    name, epochs = run.info.run_name, len(was.history)
    yield f"replaying {name} ({epochs} epochs)"
    for module in _changed(was.sources):
        yield f"{module} has changed since; replaying with what it was"
    with tempfile.TemporaryDirectory() as folder:
        now = retrain(experiment, was, epochs, Path(folder))
    changed = list(differences(was.recipe, now.recipe))
    for what, before, after in changed:
        yield f"changed: {what} was {_short(before)}, is {_short(after)}"
    outcome = list(_outcome(was, now))
    yield from outcome
    if outcome:
        reason = "see what changed above" if changed else "though nothing it depends on changed"
        raise UserError(f"the replay of {name} came out differently, {reason}")
    yield f"identical: {epochs} epochs of metrics, weights {now.weights[:12]}"


def _recorded(run: Run) -> Recorded:
    folder = own_folder(run.data.tags.get(tags.JOURNAL, ""))
    found = recorded(folder) if folder else None
    if found is None:
        raise UserError(
            f"run {run.info.run_id!r} cannot be replayed: it is not a trial or a confirmation that "
            "trained to an end, or its files are not in mlruns/ here"
        )
    trained_by, ours = found.recipe["versions"]["mnist-cnn"], version("mnist-cnn")
    if trained_by != ours:
        raise UserError(
            f"{run.info.run_name} was trained by mnist-cnn {trained_by} and this is {ours}; "
            f"install mnist-cnn {trained_by} to replay it"
        )
    return found


def _changed(modules: dict[str, Source]) -> list[str]:
    """Return the names of the modules whose files have another text now."""
    return [name for name, source in modules.items() if current(name) != source]


def _short(value: Any) -> str:
    """Return a value in words; a digest by its beginning."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch("[0-9a-f]{64}", text) else text


def _outcome(was: Recorded, now: Replayed) -> Iterator[str]:
    """Yield a line for each thing that came out differently."""
    for epoch, (old, new) in enumerate(zip(was.history, now.history, strict=False), start=1):
        for name in sorted(new.keys() & old.keys() - TIMES):
            if old[name] != new[name]:
                yield f"differs: {name} of epoch {epoch} was {old[name]!r}, is {new[name]!r}"
    if len(was.history) != len(now.history):
        yield f"differs: it had {len(was.history)} epochs, has {len(now.history)}"
    if was.weights != now.weights:
        yield f"differs: weights were {was.weights[:12]}, are {now.weights[:12]}"
