"""Repeats a recorded run from its beginning."""

import json
from pathlib import Path
from typing import Any

import keras_tuner

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project import sources
from mnist_cnn.project.loading import find_project, load_experiment
from mnist_cnn.project.sources import Source
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.callbacks import Stop
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.data import load_data
from mnist_cnn.training.retrained import Retrained
from mnist_cnn.training.run import Run
from mnist_cnn.training.train import train


def retrain(
    experiment_id: ExperimentId,
    recipe: dict[str, Any],
    epochs: int | None,
    modules: dict[str, Source],
    folder: Path,
) -> Retrained:
    """Repeat a recorded run, in a worker process.

    Args:
        experiment_id: The identity of the experiment.
        recipe: Everything that the recorded run depended on.
        epochs: The number of epochs after which it was stopped. None trains to the end and saves
            the model.
        modules: The modules that it depended on, as they were then. Other modules are imported as
            they are now.
        folder: The folder for the files of the run. It must not exist.
    """
    find_project()
    folder.mkdir(parents=True)
    sources.bring_back(modules, folder)
    experiment = load_experiment(experiment_id)
    run = Run(
        experiment=experiment,
        data=load_data(experiment_id),
        journal=Journal(folder),
        title="replay",
        tags={},
        epochs=recipe["epochs"],
        seed=recipe["seed"],
        keep=recipe.get("keep", "best"),
        precision=recipe["precision"],  # as on the other machine
    )
    hp = keras_tuner.HyperParameters()
    hp.values.update(recipe["values"])  # a declaration keeps a value that is already there

    def stop_where_it_ended(epoch: int, metrics: EpochMetrics) -> Stop | None:
        if epochs is None or epoch < epochs:
            return None
        return Stop("replayed", f"after epoch {epoch}, as recorded")

    train(run, hp, stop_where_it_ended)
    events, _ = journal.read(folder)
    start = next(event for event in events if event["event"] == "start")
    (weights,) = (e["tags"][tags.WEIGHTS] for e in events if tags.WEIGHTS in e.get("tags", {}))
    return Retrained(
        recipe=json.loads(start["tags"][tags.RECIPE]),
        history=[event["metrics"] for event in events if event["event"] == "metrics"],
        weights=weights,
    )
