"""Starts a search, for the command line and for Python alike.

This module is quick to import. What takes seconds is imported while the first worker starts.
"""

import os
import sys
import time
from typing import TYPE_CHECKING

from mnist_cnn.errors import UsageError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import worker_log
from mnist_cnn.project import check_experiment
from mnist_cnn.tracking.experiment_lock import lock_experiment
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import Workers
from mnist_cnn.workers.signals import uninterrupted

if TYPE_CHECKING:
    from mnist_cnn.study.study import Study


def start_search(
    experiment: ExperimentId,
    *,
    trials: int | None = None,
    timeout_seconds: float | None = None,
    study: str | None = None,
    storage: str | None = None,
    workers: int | None = None,
) -> "Study":
    """Search an experiment of the project in the current folder.

    An argument that is None has the default of the study, the experiment or the machine.

    Args:
        experiment: What identifies the experiment.
        trials: The total number of configurations of the study.
        timeout_seconds: The time limit, from this call on.
        study: The name of the study.
        storage: The URL of Optuna's storage.
        workers: The number of trials to train in parallel.

    Returns:
        The study, which has a winner.

    Raises:
        UsageError: An argument names something that does not exist.
        UserError: The search failed or was refused.
        KeyboardInterrupt: After Ctrl-C, once everything is saved and the workers are dead.
    """
    started = time.monotonic()
    if machine.WORKER in os.environ:
        raise UsageError(
            "a worker process, which imports the experiment, started a search; move that call to a "
            "script outside of experiments/ and search_spaces/"
        )
    check_experiment(experiment)
    environments = machine.worker_environments(workers or machine.default_workers())
    memory = machine.worker_memory(len(environments))
    log = worker_log(experiment.name)
    with (
        lock_experiment(experiment.name),
        Workers(environments, log, memory, prepare=tasks.prepare) as pool,
    ):
        # The first worker imports TensorFlow while this process imports MLflow.
        with uninterrupted():
            from rich.console import Console

            from mnist_cnn.run_search import Request, search

        request = Request(
            experiment=experiment,
            trials=trials,
            timeout_seconds=timeout_seconds,
            study=study,
            storage=storage,
            started=started,
        )
        # Plain lines in a notebook and in a pipe, even where FORCE_COLOR is set, as Jupyter does: a
        # live view would print itself anew four times a second.
        terminal = None if sys.stdout.isatty() else False
        return search(request, pool, Console(force_jupyter=False, force_terminal=terminal))
