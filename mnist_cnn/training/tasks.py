"""What the search process asks of a worker process.

Keras takes seconds to import and hundreds of megabytes, so it is imported where it computes: each
task imports its module when it runs, in the worker. The search process only names them.
"""

import gc
from pathlib import Path
from typing import Any

from mnist_cnn.plan import Plan
from mnist_cnn.sources import Source
from mnist_cnn.training.replayed import Replayed


def prepare() -> None:
    """Import what every other task needs, before the first one is there."""
    import mnist_cnn.training.preflight  # noqa: F401

    # What is imported stays. Keras collects garbage before every trial, which takes 0.2 s if it
    # looks through all of TensorFlow again.
    gc.collect()
    gc.freeze()


def plan(experiment_name: str) -> Plan:
    """Check the experiment, and tell what the search has to know of it."""
    from mnist_cnn.training.preflight import check

    return check(experiment_name)


def computes_on_gpu() -> bool:
    """Whether Keras's backend finds a GPU in this process."""
    from mnist_cnn.training.backend import on_gpu

    return on_gpu()


def trial(experiment_name: str, study_name: str, storage: str, number: int, folder: Path) -> bool:
    """Run a trial, or a confirmation, to its end; returns whether the sampler has no more."""
    from mnist_cnn.training.trial import run_trial

    return run_trial(experiment_name, study_name, storage, number, folder)


def export(model_file: Path, folder: Path) -> None:
    """Write a .keras file in MLflow's model format."""
    from mnist_cnn.training.export import write_mlflow_model

    write_mlflow_model(model_file, folder)


def again(
    experiment_name: str,
    recipe: dict[str, Any],
    epochs: int | None,
    modules: dict[str, Source],
    folder: Path,
) -> Replayed:
    """Train once more what a run's recipe says."""
    from mnist_cnn.training.repeat import run_again

    return run_again(experiment_name, recipe, epochs, modules, folder)
