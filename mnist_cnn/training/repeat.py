"""A training once more: a trial's configuration on a fresh seed, or a recorded run to the bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
import optuna

from mnist_cnn import space
from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.project import find_project, load_experiment
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.backend import precision
from mnist_cnn.training.callbacks import Stop
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.data import load_data
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed
from mnist_cnn.training.replayed import Replayed
from mnist_cnn.training.run import Run
from mnist_cnn.training.trial import refuse_changed

CONFIRMATION_SEEDS = 1_000_000  # from here on; far from every trial's number, which seeds a trial


def run_confirmation(
    experiment_name: str, study_name: str, storage: str, number: int, index: int, folder: Path
) -> None:
    """Train the configuration of trial `number` on its fresh seed `index`, in a worker process."""
    experiment = load_experiment(experiment_name)
    study = optuna.load_study(study_name=study_name, storage=open_storage(storage))
    refuse_changed(experiment, study)
    trial = study.get_trials(deepcopy=False)[number]
    run = Run(
        experiment=experiment,
        data=load_data(experiment_name),
        journal=Journal(folder),
        title=f"confirmation {index + 1} of trial {number:03d}",
        tags={tags.KIND: "confirmation", tags.TRIAL: str(number)},
        epochs=experiment.confirm.epochs or experiment.epochs,
        seed=derived_seed(experiment.seed, number, CONFIRMATION_SEEDS + index),
    )
    try:
        trained = run.train(TrialHyperParameters(trial), lambda epoch, metrics: None)
    except UserError:
        raise
    except Exception as error:
        if full := full_disk(error):
            raise full from error
        run.journal.write(
            "end", status="FAILED", tags={tags.REASON: one_line(error)}, step=0, metrics={}
        )
    else:
        step = run.journal.last_step
        run.journal.write("end", status="FINISHED", tags={}, step=step, metrics=trained.summary)


def run_replay(
    experiment_name: str, recipe: dict[str, Any], source: Path | None, folder: Path
) -> Replayed:
    """Train what a recipe says from the beginning, in a worker process.

    Args:
        experiment_name: The experiment that the run is of.
        recipe: What the run depended on, and as `trained` how many epochs it had.
        source: The text of the space's file as it was then; None leaves it as it is now.
        folder: Takes the files.
    """
    find_project()
    if source is not None:
        space.bring_back(recipe["space_module"], source)
    experiment = load_experiment(experiment_name)
    if recipe["precision"] != precision(experiment):
        experiment = replace(experiment, precision=recipe["precision"])  # of another machine
    run = Run(
        experiment=experiment,
        data=load_data(experiment_name),
        journal=Journal(folder),
        title="replay",
        tags={},
        epochs=recipe["epochs"],
        seed=recipe["seed"],
    )
    hp = keras_tuner.HyperParameters()
    hp.values.update(recipe["values"])  # a value that is there before its declaration is kept

    def stop_where_it_ended(epoch: int, metrics: EpochMetrics) -> Stop | None:
        if epoch < recipe["trained"]:
            return None
        return Stop("replayed", f"after epoch {epoch}, as recorded")

    run.train(hp, stop_where_it_ended)
    events, _ = journal.read(folder)
    start = next(event for event in events if event["event"] == "start")
    (weights,) = (e["tags"][tags.WEIGHTS] for e in events if tags.WEIGHTS in e.get("tags", {}))
    return Replayed(
        recipe=json.loads(start["tags"][tags.RECIPE]),
        history=[event["metrics"] for event in events if event["event"] == "metrics"],
        weights=weights,
    )
