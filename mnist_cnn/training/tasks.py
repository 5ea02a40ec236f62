"""The tasks that other processes send to a worker.

Keras takes seconds and hundreds of megabytes to import. Each task therefore imports its module when
it runs, in the worker. The search process only refers to the functions here.
"""

import gc
from pathlib import Path
from typing import Any

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.plan import Plan
from mnist_cnn.project.sources import Source
from mnist_cnn.training.retrained import Retrained


def prepare() -> None:
    """Import what every other task needs, while the search process still starts."""
    import mnist_cnn.training.preflight  # noqa: F401

    # Keras collects garbage before every trial, which takes 0.2 s longer if it has to scan all
    # objects of TensorFlow again.
    gc.collect()
    gc.freeze()


def plan(experiment_id: ExperimentId) -> Plan:
    """Check the experiment, and return its plan."""
    from mnist_cnn.training.preflight import check

    return check(experiment_id)


def accepted(
    experiment_id: ExperimentId, configurations: list[dict[str, Any]], most: int
) -> list[dict[str, Any]]:
    """Return the configurations that the experiment's space accepts, see `preflight.accepted`."""
    from mnist_cnn.training.preflight import accepted

    return accepted(experiment_id, configurations, most)


def computes_on_gpu() -> bool:
    """Return whether Keras's backend can use a GPU in this process."""
    from mnist_cnn.training.backend import on_gpu

    return on_gpu()


def trial(
    experiment_id: ExperimentId, study_name: str, storage: str, number: int, folder: Path
) -> bool:
    """Run a trial or a confirmation to its end.

    Returns:
        Whether the sampler has nothing left to try.
    """
    from mnist_cnn.training.trial import run_trial

    return run_trial(experiment_id, study_name, storage, number, folder)


def export(model_file: Path, folder: Path) -> None:
    """Write a .keras file in MLflow's model format."""
    from mnist_cnn.training.export import write_mlflow_model

    write_mlflow_model(model_file, folder)


def retrain(
    experiment_id: ExperimentId,
    recipe: dict[str, Any],
    epochs: int | None,
    modules: dict[str, Source],
    folder: Path,
) -> Retrained:
    """Repeat a recorded run; the arguments are those of `training.retrain.retrain`."""
    from mnist_cnn.training.retrain import retrain

    return retrain(experiment_id, recipe, epochs, modules, folder)
