"""The command line: parses the arguments and calls one verb, which imports what it needs.

Exit code 0: done. 1: the work failed or was refused. 2: wrong usage, including unknown names.
130: stopped by Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.urls import hide_passwords

if TYPE_CHECKING:
    from mnist_cnn.experiment_id import ExperimentId
    from mnist_cnn.workers.ray_wanted import RayWanted

    _Verbs = argparse._SubParsersAction["_Parser"]

Verb = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its exit code.

    Args:
        arguments: The arguments; those of the process by default.
    """
    options = _parser().parse_args(arguments)
    # Set before TensorFlow is imported, to hide its start-up messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    verb: Verb = options.verb
    try:
        verb(options)
    except UsageError as error:
        sys.exit(_complain(error, 2))
    except UserError as error:
        sys.exit(_complain(error, 1))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _complain(error: object, code: int) -> int:
    print(f"mnist-cnn: {hide_passwords(str(error))}", file=sys.stderr)
    return code


def _search(options: argparse.Namespace) -> None:
    from mnist_cnn.start_search import start_search
    from mnist_cnn.workers.signals import stoppable

    try:
        with stoppable():
            start_search(
                _experiment(options),
                trials=options.trials,
                timeout_seconds=options.timeout,
                study=options.study,
                storage=options.storage,
                workers=_workers(options),
            )
    except KeyboardInterrupt:
        print(f"stopped; everything is saved, go on with `{_again(options)}`")
        raise


def _workers(options: argparse.Namespace) -> "int | RayWanted | None":
    from dataclasses import replace

    from mnist_cnn.workers.ray_wanted import RayWanted, checked_address, parse_workers

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
    experiment = _experiment(options)
    given = {"TRIALS": options.trials, "TIMEOUT": options.timeout, "STUDY": options.study}
    if not options.storage and not options.workers:
        return f"make search {experiment.for_make}" + "".join(
            f" {name}={value:g}" if isinstance(value, float) else f" {name}={value}"
            for name, value in given.items()
            if value is not None
        )
    # make does not take one of these, and the user may want the other.
    given["STORAGE"] = options.storage and f"'{hide_passwords(options.storage)}'"
    given |= {"WORKERS": options.workers, "RAY-ADDRESS": options.ray_address}
    return f"mnist-cnn search {experiment.for_command}" + "".join(
        f" --{name.lower()} {value}" for name, value in given.items() if value is not None
    )


def _trials(options: argparse.Namespace) -> None:
    from mnist_cnn.report.listing import show_trials

    show_trials(_experiment(options), options.study, options.storage, options.form)


def _studies(options: argparse.Namespace) -> None:
    from mnist_cnn.report.studies import show_studies

    show_studies(options.storage)


def _delete(options: argparse.Namespace) -> None:
    from mnist_cnn.delete_study import delete_study

    print(delete_study(options.study, options.storage, options.force))


def _promote(options: argparse.Namespace) -> None:
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
            reason=options.reason,
        )
        promote(request, worker)


def _rollback(options: argparse.Namespace) -> None:
    from mnist_cnn.promotion.rollback import rollback

    print(rollback(options.model_name))


def _pull(options: argparse.Namespace) -> None:
    from mnist_cnn.promotion.pull import pull

    print(pull(options.model or options.alias, options.to, options.model_name))


def _evaluate(options: argparse.Namespace) -> None:
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


def _predict(options: argparse.Namespace) -> None:
    from mnist_cnn.serving.server import silenced_stderr

    with silenced_stderr():
        from mnist_cnn.serving.predict import show_predictions

    show_predictions(options.files, options.form, _model_name(options))


def _data(options: argparse.Namespace) -> None:
    from mnist_cnn.datasets.overview import show_data

    show_data(options.path, options.picture)


def _replay(options: argparse.Namespace) -> None:
    from mnist_cnn.replay import replay

    for line in replay(options.run):
        print(line)


def _sync(options: argparse.Namespace) -> None:
    from mnist_cnn.mlruns import MLRUNS
    from mnist_cnn.tracking.sync import deliver_all

    for line in deliver_all(MLRUNS):
        print(line)


def _ui(options: argparse.Namespace) -> None:
    from mnist_cnn.ui import serve_ui

    serve_ui(options.port)


def _dashboard(options: argparse.Namespace) -> None:
    from mnist_cnn.dashboard import serve_dashboard

    serve_dashboard(options.storage, options.port)


def _serve(options: argparse.Namespace) -> None:
    from mnist_cnn.serving.server import serve

    serve(options.host, options.port, options.token, _model_name(options))


def _model_name(options: argparse.Namespace) -> str | None:
    """The registered model that is named, or that belongs to the data that are named."""
    if options.data is None:
        return str(options.model_name) if options.model_name else None
    if options.model_name is not None:
        raise UsageError("--data and --model-name name two models; leave one out")
    from mnist_cnn.experiment_id import data_name, resolved

    return data_name(resolved(options.data))


class _Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_complain(f"{message}; see `{self.prog} --help`", 2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mnist-cnn", description="Hyperparameter search for Keras, with Optuna and MLflow."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    _add_studies(verbs)
    _add_models(verbs)
    _add_data_and_runs(verbs)
    _add_servers(verbs)
    return parser


def _add_studies(verbs: "_Verbs") -> None:
    verb = _verb(verbs, "search", _search, "search, or continue an unfinished search")
    _study_options(verb)
    verb.add_argument("--trials", type=_count, help="total number of trials of the study")
    verb.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="time limit")
    verb.add_argument(
        "--workers",
        help="number of trials to train in parallel; ray:16 trains on a Ray cluster",
    )
    verb.add_argument(
        "--ray-address", metavar="HOST:PORT", help="the Ray cluster; default: the one of this node"
    )

    verb = _verb(verbs, "trials", _trials, "the best trials of a study as a table")
    _study_options(verb)
    _form_options(verb, "all trials")

    verb = _verb(verbs, "studies", _studies, "all studies, with state, best value and size")
    _storage_option(verb)

    verb = _verb(verbs, "delete", _delete, "delete a study: in Optuna, in MLflow and on the disk")
    verb.add_argument("study", metavar="STUDY", help="its name, such as mnist-1")
    verb.add_argument("--force", action="store_true", help="even if the champion comes from it")
    _storage_option(verb)


def _add_models(verbs: "_Verbs") -> None:
    verb = _verb(verbs, "promote", _promote, "register the best run's model as the champion")
    _experiment_argument(verb)
    verb.add_argument("--run", help="id of an MLflow run; default: the newest finished study's")
    verb.add_argument(
        "--max-parameters",
        type=_count,
        metavar="N",
        help="of several objectives: the most accurate point of the front with so many at most",
    )
    verb.add_argument(
        "--min-accuracy",
        type=_share,
        metavar="X",
        help="the smallest point of the front with a validation accuracy of at least X",
    )
    verb.add_argument(
        "--ensemble",
        action="store_true",
        help="average the models of the winner's confirmed seeds in one file",
    )
    verb.add_argument("--force", action="store_true", help="override the gate; needs --reason")
    verb.add_argument("--reason", metavar="TEXT", help="why; recorded with the new version")

    verb = _verb(verbs, "rollback", _rollback, "make the previous champion the champion again")
    _model_name_option(verb)

    verb = _verb(verbs, "pull", _pull, "write the champion's .keras file")
    verb.add_argument(
        "model", nargs="?", metavar="MODEL", help="models:/NAME@ALIAS, or models:/NAME/VERSION"
    )
    verb.add_argument("--alias", default="champion", help="(default: %(default)s)")
    verb.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="default: here")
    _model_name_option(verb)

    verb = _verb(verbs, "evaluate", _evaluate, "evaluate a model on labelled images")
    verb.add_argument(
        "--model", required=True, help="a run's id, an alias, models:/…, or a .keras file"
    )
    verb.add_argument("--data", required=True, help="a data set, or the path of labelled images")
    _model_name_option(verb)
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures there")

    verb = _verb(verbs, "predict", _predict, "what the champion sees in pictures")
    verb.add_argument("files", nargs="+", metavar="FILE", help="a picture, or a folder of them")
    _model_options(verb)
    _form_options(verb, "the answers")


def _add_data_and_runs(verbs: "_Verbs") -> None:
    verb = _verb(verbs, "data", _data, "show the labelled images at a path")
    verb.add_argument(
        "path", type=Path, metavar="PATH", help="a folder, a .csv, an .npz, IDX files"
    )
    verb.add_argument(
        "--picture", type=Path, metavar="FILE", help="write examples of each class to this .png"
    )

    verb = _verb(verbs, "replay", _replay, "train a run again and compare the results bit by bit")
    verb.add_argument("run", help="id of a trial's or confirmation's run in MLflow")

    _verb(verbs, "sync", _sync, "deliver to MLflow what it missed during a search")


def _add_servers(verbs: "_Verbs") -> None:
    verb = _verb(verbs, "ui", _ui, "show the runs in MLflow's pages")
    verb.add_argument("--port", type=_port, default=5000, help="(default: %(default)s)")

    verb = _verb(verbs, "dashboard", _dashboard, "show the trials in optuna-dashboard")
    _storage_option(verb)
    verb.add_argument("--port", type=_port, default=8080, help="(default: %(default)s)")

    verb = _verb(verbs, "serve", _serve, "draw digits in a browser; the champion reads them")
    _model_options(verb)
    verb.add_argument("--port", type=_port, default=8000, help="(default: %(default)s)")
    verb.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 for the whole network (default: %(default)s)"
    )
    verb.add_argument(
        "--token",
        metavar="TEXT",
        help="ask clients for it; better set MNIST_CNN_TOKEN, as the process list shows arguments",
    )


def _verb(verbs: "_Verbs", name: str, verb: Verb, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    parser.set_defaults(verb=verb)
    return parser


def _study_options(parser: argparse.ArgumentParser) -> None:
    _experiment_argument(parser)
    parser.add_argument("--study", help="name of a study, such as mnist-1; default: the newest")
    _storage_option(parser)


def _experiment_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment",
        nargs="?",
        metavar="EXPERIMENT",
        help="name of a file in experiments/ (default: mnist, or images with --data)",
    )
    parser.add_argument(
        "--data", metavar="PATH", help="your own images: a folder, a .csv, an .npz, IDX files"
    )


def _form_options(parser: argparse.ArgumentParser, what: str) -> None:
    form = parser.add_mutually_exclusive_group()
    for name in ("csv", "json"):
        text = f"{what} as {name.upper()}"
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(form="table")


def _model_options(parser: argparse.ArgumentParser) -> None:
    _model_name_option(parser)
    parser.add_argument("--data", metavar="PATH", help="the model of the data at this path")


def _model_name_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-name",
        metavar="NAME",
        help="a registered model; default: MNIST's, or else the only one there is",
    )


def _storage_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storage", metavar="URL", help="Optuna's storage; default: in mlruns/")


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and up to 1, as 0.99")
    return number


def _port(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return number
