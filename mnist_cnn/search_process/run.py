"""Runs a search: checks the experiment, opens its study, and goes through the phases.

This process trains nothing. It asks Optuna for trials, gives them to worker processes, follows
their journals, tells Optuna how they ended, and stops trials that take too long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from rich.console import Console

from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.project.plan import Plan
from mnist_cnn.search_process.phases import Search
from mnist_cnn.search_process.request import Request
from mnist_cnn.study.opening import Opened, open_study
from mnist_cnn.study.proxy import storage_proxy
from mnist_cnn.study.recovery import close_others, recover
from mnist_cnn.study.storage import default_storage, open_storage, told_storage_errors
from mnist_cnn.study.study import Study
from mnist_cnn.study.warm_start import best_of_earlier, enqueue, most_from_earlier
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import CallLost, Pool


def search(request: Request, workers: Pool, console: Console) -> Study:
    """Run a search to its end.

    Args:
        request: The user's options.
        workers: The workers, all idle.
        console: Where to print.

    Returns:
        The study, which has a winner.

    Raises:
        UsageError: The request names something that does not exist.
        UserError: The search failed or was refused.
        KeyboardInterrupt: After Ctrl-C, once everything is saved.
    """
    # An earlier search of this process may have opened a database that was deleted since.
    open_storage.cache_clear()
    with _told_if_full(), told_storage_errors():
        plan = _checked_plan(request, workers)
        for line in _unused_gpus(workers, request.timeout_seconds):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        workers.share(plan.files)
        storage = request.storage or default_storage()
        with (
            open_study(plan, storage, request.study) as opened,
            storage_proxy(storage, workers.host) as proxy,
        ):
            _recover_and_print(opened, console)
            _enqueue_first_trials(opened.study, request, workers, console)
            Search(opened, request, workers, proxy, console).run()
            return opened.study


def _checked_plan(request: Request, workers: Pool) -> Plan:
    """Check an experiment before anything is written, and return its plan."""
    try:
        plan: Plan = workers.call(partial(tasks.plan, request.experiment), request.timeout_seconds)
    except CallLost as error:
        raise UserError(f"cannot check experiment {request.experiment.name!r}: {error}") from None
    return replace(plan, precision=workers.precision or plan.precision)


def _recover_and_print(opened: Opened, console: Console) -> None:
    """Recover from a killed search, and print the notes about the study."""
    study, plan = opened.study, opened.study.plan
    for line in (*opened.lines, *recover(study), *close_others(study)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in plan.warnings:
        console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
    if plan.unserved:
        line = f"search only: promote and serve will refuse its models: {plan.unserved}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _enqueue_first_trials(study: Study, request: Request, workers: Pool, console: Console) -> None:
    """Enqueue the baselines, and what was best in the study before this one."""
    wanted, baselines = study.wanted_trials(request.trials), len(study.plan.baselines)
    if wanted < baselines and not study.trials.all():
        console.print(f"note: only {wanted} of the {baselines} baselines will be tried")
    study.enqueue_baselines(wanted)
    most = most_from_earlier(wanted, baselines)
    if not most:
        return
    name, best = best_of_earlier(study)
    if not best:
        return
    try:
        call = partial(tasks.accepted, request.experiment, best, most)
        configurations = workers.call(call, request.timeout_seconds)
    except CallLost:  # it is only a guess, and the search can do without
        return
    line = enqueue(study, name, configurations)
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _unused_gpus(workers: Pool, limit_seconds: float | None) -> list[str]:
    """Return a message if the machine has GPUs that Keras's backend cannot use."""
    there = machine.gpus() if workers.host is None else 0  # on a cluster, Ray knows of GPUs
    try:
        if not there or workers.call(tasks.computes_on_gpu, limit_seconds):
            return []
    except CallLost as error:
        raise UserError(f"cannot check whether Keras can use a GPU: {error}") from None
    return [
        f"Keras cannot use the {there} GPU(s) here, so training runs on the CPU; type "
        "`.venv/bin/uv pip install --python .venv --no-deps -r requirements-gpu.lock` to install "
        f"the GPU libraries, or add WORKERS={machine.default_cpu_workers()} to use the whole CPU"
    ]


@contextmanager
def _told_if_full() -> Iterator[None]:
    """Turn an error of a full disk into a UserError."""
    try:
        yield
    except OSError as error:
        if full := full_disk(error):
            raise full from error
        raise
