"""Starts a search, for the command line and for Python.

This module is quick to import. Slow modules are imported while the first worker starts.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_cnn.errors import UsageError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.keras_backend import check_backend
from mnist_cnn.mlruns import worker_log
from mnist_cnn.project.loading import check_experiment
from mnist_cnn.search_process.request import Request
from mnist_cnn.tracking.experiment_lock import lock_experiment
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.cluster.wanted import RayWanted
from mnist_cnn.workers.local_pool import Workers
from mnist_cnn.workers.signals import uninterrupted

if TYPE_CHECKING:
    from mnist_cnn.study.study import Study
    from mnist_cnn.workers.cluster.actors import RayWorkers


def start_search(request: Request, workers: int | RayWanted | None) -> "Study":
    """Search an experiment of the project in the current folder.

    Args:
        request: The user's options.
        workers: The number of trials to train in parallel on this machine, or the workers wanted on
            a Ray cluster. None means the machine's default.

    Returns:
        The study, which has a winner.

    Raises:
        UsageError: An argument names something that does not exist.
        UserError: The search failed or was refused.
        KeyboardInterrupt: After Ctrl-C, once everything is saved and the workers are dead.
    """
    if machine.WORKER in os.environ:
        raise UsageError(
            "a worker process, which imports the experiment, started a search; move that call to a "
            "script outside of experiments/ and search_spaces/"
        )
    experiment = request.experiment
    check_experiment(experiment)
    check_backend()
    with lock_experiment(experiment.name), pool_of(experiment, workers) as pool:
        # The first worker imports TensorFlow while this process imports MLflow.
        with uninterrupted():
            from rich.console import Console

            from mnist_cnn.search_process.run import search

        # Plain lines in a notebook and in a pipe, even where FORCE_COLOR is set, as Jupyter does: a
        # live view would be printed again four times a second.
        terminal = None if sys.stdout.isatty() else False
        console = Console(force_jupyter=False, force_terminal=terminal)
        for line in pool.take_remarks():
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        return search(request, pool, console)


def pool_of(experiment: ExperimentId, workers: int | RayWanted | None) -> "Workers | RayWorkers":
    """Start the workers of a search.

    Raises:
        UsageError: Ray is asked for and not installed.
        UserError: The Ray cluster does not answer, or its nodes cannot run the search.
    """
    print("starting the workers", flush=True)  # importing TensorFlow takes them seconds
    log = worker_log(experiment.name)
    if isinstance(workers, RayWanted):
        try:
            from mnist_cnn.workers.cluster.actors import RayWorkers
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise UsageError(
                "Ray is not installed; type `.venv/bin/uv pip install --python .venv --no-deps "
                "--require-hashes -r requirements-cluster.lock`"
            ) from None
        return RayWorkers(workers, log, Path("experiments", f"{experiment.file}.py"), tasks.prepare)
    environments = machine.worker_environments(workers or machine.default_workers())
    memory = machine.worker_memory(len(environments))
    return Workers(environments, log, memory, prepare=tasks.prepare)
