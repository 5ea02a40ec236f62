"""Replay: a run's training is repeated from what the run recorded, and compared to the bit."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import SPACE_FILE, checkpoints
from mnist_cnn.registry import models, store
from mnist_cnn.training import tasks
from mnist_cnn.training.replayed import Replayed
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import Workers

TIMES = {"epoch_seconds"}  # differ every time, and say nothing of the outcome


def replay(run_id: str) -> Iterator[str]:
    """Train the run again; lines that say what is the same and what differs.

    Raises UserError if the run has no recipe, and, after the lines, if the outcome differs.
    """
    with store.answering():
        client = store.connect("mnist")
        run = _get_run(client, run_id)
        recorded = _history(client, run)
        experiment = str(client.get_experiment(run.info.experiment_id).name)
    recipe = json.loads(run.data.tags["recipe"])
    yield f"replaying {run.info.run_name} ({len(recorded)} epochs)"
    with tempfile.TemporaryDirectory() as folder:
        source = _space_source(run, recipe)
        if source and _changed(recipe["space_module"], source):
            yield "the search space has changed since; replaying with what it was"
        again = _train(experiment, recipe | {"trained": len(recorded)}, source, Path(folder))
    causes = list(_differences(recipe, again.recipe))
    outcome = list(_outcome(run, recorded, again))
    yield from causes
    yield from outcome
    if outcome:
        reason = "see what changed above" if causes else "though nothing it depends on changed"
        raise UserError(f"the replay of {run.info.run_name} came out differently, {reason}")
    yield f"identical: {len(recorded)} epochs of metrics, weights {again.weights[:12]}"


def _get_run(client: MlflowClient, run_id: str) -> Run:
    run = models.get_run(client, run_id)
    if "recipe" not in run.data.tags or "weights.sha256" not in run.data.tags:
        raise UserError(
            f"run {run_id!r} cannot be replayed: it is not a trial or a confirmation that trained"
        )
    return run


def _space_source(run: Run, recipe: dict[str, Any]) -> Path | None:
    """The space's text as the training kept it, if it is still there.

    Only from the folder of the run in mlruns/: what lies in MLflow may be of anybody, and this is
    code that will run.
    """
    file = checkpoints() / run.data.tags.get("journal", "") / SPACE_FILE
    if not file.is_file() or "space_module" not in recipe:
        return None
    same = hashlib.sha256(file.read_bytes()).hexdigest() == recipe["space"]
    return file if same else None


def _changed(module: str, source: Path) -> bool:
    now = Path(module.replace(".", "/") + ".py")
    return now.is_file() and now.read_bytes() != source.read_bytes()


def _train(experiment: str, recipe: dict[str, Any], source: Path | None, folder: Path) -> Replayed:
    (environment,) = machine.worker_environments(1)
    if recipe["threads"].isdigit():  # sums are taken in another order by another number of threads
        environment |= machine.threads_environment(int(recipe["threads"]))
    if "backend" in recipe:
        environment["KERAS_BACKEND"] = recipe["backend"]
    with Workers([environment], folder / "log") as workers:
        call = partial(tasks.replay, experiment, recipe, source, folder / "run")
        replayed: Replayed = workers.call(call)
        return replayed


def _history(client: MlflowClient, run: Run) -> list[dict[str, float]]:
    """The metrics of each epoch as MLflow has them."""
    epochs: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            epochs.setdefault(metric.step, {})[name] = metric.value
    return [epochs[step] for step in sorted(epochs) if "loss" in epochs[step]]


def _differences(recorded: dict[str, Any], now: dict[str, Any], of: str = "") -> Iterator[str]:
    """A line for each thing that the training depends on and that is another now."""
    for name, value in recorded.items():
        other = now.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differences(value, other, f"{of}{name}.")
        elif value != other:
            yield f"changed: {of}{name} was {_short(value)}, is {_short(other)}"


def _short(value: Any) -> str:
    """A value in words; a digest by its beginning."""
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch("[0-9a-f]{64}", text) else text


def _outcome(run: Run, recorded: list[dict[str, float]], again: Replayed) -> Iterator[str]:
    for epoch, (was, now) in enumerate(zip(recorded, again.history, strict=False), start=1):
        for name in sorted(now.keys() & was.keys() - TIMES):
            if was[name] != now[name]:
                yield f"differs: {name} of epoch {epoch} was {was[name]!r}, is {now[name]!r}"
    if len(recorded) != len(again.history):
        yield f"differs: it had {len(recorded)} epochs, has {len(again.history)}"
    if (weights := run.data.tags["weights.sha256"]) != again.weights:
        yield f"differs: weights were {weights[:12]}, are {again.weights[:12]}"
