"""A function for each subcommand, called with the parsed arguments. It imports what it needs."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import mnist_cnn
from mnist_cnn.errors import UsageError
from mnist_cnn.mlruns import check_project

if TYPE_CHECKING:
    from mnist_cnn.experiment_id import ExperimentId
    from mnist_cnn.workers.cluster.wanted import RayWanted


def check_folder(options: argparse.Namespace) -> None:
    """Check that the current folder is a project, if the subcommand uses one.

    Raises:
        UsageError: It is none, or it is a project with a package of its own.
    """
    package = Path("mnist_cnn/__init__.py")
    if package.exists() and not package.samefile(mnist_cnn.__file__):
        raise UsageError(
            f"this command is that of {Path(mnist_cnn.__file__).parent.parent}, but {Path.cwd()} "
            "has one of its own; type `make setup` here, and use .venv/bin/mnist-cnn"
        )
    elsewhere = False  # whether what the subcommand asks is not in mlruns/
    if options.verb in (trials, studies, dashboard):
        elsewhere = options.storage is not None
    elif options.verb in (ui, serve, predict, pull, rollback, evaluate):
        elsewhere = bool(os.environ.get("MLFLOW_TRACKING_URI"))
    if options.verb is evaluate:  # a file is no part of a project; reading a test set is recorded
        elsewhere |= options.model.endswith(".keras") or Path(options.model).is_file()
    if options.verb is not data and not elsewhere:
        check_project()


def search(options: argparse.Namespace) -> None:
    from mnist_cnn.search_process.request import Request
    from mnist_cnn.search_process.start import start_search
    from mnist_cnn.workers.signals import stoppable

    try:
        with stoppable():
            request = Request(
                experiment=_experiment(options),
                trials=options.trials,
                timeout_seconds=options.timeout,
                study=options.study,
                storage=options.storage,
            )
            start_search(request, _workers(options))
    except KeyboardInterrupt:
        print(f"stopped; everything is saved; continue with `{_again(options)}`")
        raise


def _workers(options: argparse.Namespace) -> "int | RayWanted | None":
    from dataclasses import replace

    from mnist_cnn.workers.cluster.wanted import RayWanted, checked_address, parse_workers

    wanted = parse_workers(options.workers) if options.workers else None
    if isinstance(wanted, RayWanted):
        return replace(wanted, address=checked_address(options.ray_address or "auto"))
    if options.ray_address:
        raise UsageError("--ray-address goes with --workers ray:NUMBER")
    return wanted


def _experiment(options: argparse.Namespace) -> "ExperimentId":
    from mnist_cnn.experiment_id import experiment_id

    return experiment_id(options.experiment, options.data)


def _again(options: argparse.Namespace) -> str:
    """The command that continues a search."""
    from mnist_cnn.experiment_id import search_command

    given = {
        "trials": options.trials,
        "timeout": options.timeout,
        "workers": options.workers,
        "study": options.study,
        "storage": options.storage,
        "ray-address": options.ray_address,
    }
    return search_command(_experiment(options), given)


def trials(options: argparse.Namespace) -> None:
    from mnist_cnn.report.listing import show_trials
    from mnist_cnn.study.storage import told_storage_errors

    with told_storage_errors():
        show_trials(_experiment(options), options.study, options.storage, options.form)


def studies(options: argparse.Namespace) -> None:
    from mnist_cnn.report.studies import show_studies
    from mnist_cnn.study.storage import told_storage_errors

    with told_storage_errors():
        show_studies(options.storage)


def delete(options: argparse.Namespace) -> None:
    from mnist_cnn.delete_study import delete_study
    from mnist_cnn.study.storage import told_storage_errors

    with told_storage_errors():
        print(delete_study(options.study, options.storage, options.force))


def promote(options: argparse.Namespace) -> None:
    if options.force != (options.reason is not None):
        raise UsageError('--force and --reason "…" go together: the reason is recorded')
    from mnist_cnn.evaluation.worker import ModelWorker

    with ModelWorker() as worker:  # imports TensorFlow while this process imports MLflow
        from mnist_cnn.promotion.front import Choice
        from mnist_cnn.promotion.promote import Request, promote

        request = Request(
            experiment=_experiment(options),
            run=options.run,
            choice=Choice(options.max_parameters, options.min_accuracy),
            ensemble=options.ensemble,
            calibrate=options.calibrate,
            reason=options.reason,
        )
        promote(request, worker)


def rollback(options: argparse.Namespace) -> None:
    from mnist_cnn.promotion.rollback import rollback

    print(rollback(options.model_name))


def pull(options: argparse.Namespace) -> None:
    from mnist_cnn.promotion.pull import pull

    print(pull(options.model or options.alias or "champion", options.to, options.model_name))


def evaluate(options: argparse.Namespace) -> None:
    from mnist_cnn.evaluation.worker import ModelWorker

    with ModelWorker() as worker:  # imports TensorFlow while this process imports MLflow
        from mnist_cnn.evaluation.table import show_evaluation

        show_evaluation(
            options.model,
            options.data,
            worker,
            as_json=options.json,
            pictures=options.pictures,
            model_name=options.model_name,
        )


def predict(options: argparse.Namespace) -> None:
    from mnist_cnn.keras_backend import check_backend
    from mnist_cnn.serving.server import silenced_stderr

    check_backend()
    with silenced_stderr():
        from mnist_cnn.serving.predict import show_predictions

    show_predictions(options.files, options.form, _model_name(options))


def data(options: argparse.Namespace) -> None:
    from mnist_cnn.datasets.overview import show_data

    show_data(options.path, options.picture)


def replay(options: argparse.Namespace) -> None:
    from mnist_cnn.replay import replay

    for line in replay(options.run):
        print(line)


def sync(options: argparse.Namespace) -> None:
    from mnist_cnn.mlruns import MLRUNS
    from mnist_cnn.tracking.sync import deliver_all

    for line in deliver_all(MLRUNS):
        print(line)


def ui(options: argparse.Namespace) -> None:
    from mnist_cnn.ui import serve_ui
    from mnist_cnn.workers.signals import stoppable

    with stoppable():
        serve_ui(options.port)


def dashboard(options: argparse.Namespace) -> None:
    from mnist_cnn.dashboard import serve_dashboard

    serve_dashboard(options.storage, options.port)


def serve(options: argparse.Namespace) -> None:
    from mnist_cnn.serving.server import serve

    serve(options.host, options.port, options.token, _model_name(options))


def _model_name(options: argparse.Namespace) -> str | None:
    """The registered model that is named, or that of the named data."""
    if options.data is None:
        return str(options.model_name) if options.model_name else None
    if options.model_name is not None:
        raise UsageError("--data and --model-name name two models; leave one out")
    from mnist_cnn.experiment_id import data_name, resolved

    return data_name(resolved(options.data))
