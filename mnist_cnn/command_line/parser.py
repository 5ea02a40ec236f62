"""The arguments of each subcommand."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mnist_cnn.command_line import verbs
from mnist_cnn.errors import UsageError

if TYPE_CHECKING:
    _Subparsers = argparse._SubParsersAction["_Parser"]

Verb = Callable[[argparse.Namespace], None]
Number = TypeVar("Number", int, float)


class _Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _Version(argparse.Action):
    """Prints the version, which is looked up only then, so that `--help` stays fast."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> NoReturn:
        from importlib.metadata import version

        print(f"{parser.prog} {version('mnist-cnn')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command. Its result has the subcommand's function as `verb`."""
    parser = _Parser(
        prog="mnist-cnn", description="Hyperparameter search for Keras, with Optuna and MLflow."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_studies(subparsers)
    _add_models(subparsers)
    _add_data_and_runs(subparsers)
    _add_servers(subparsers)
    return parser


def _add_studies(subparsers: "_Subparsers") -> None:
    verb = _verb(subparsers, verbs.search, "start a search, or resume an unfinished one")
    _study_options(
        verb,
        default="the newest, or a new one if that is finished, or the experiment, its code or its "
        "data changed",
    )
    verb.add_argument("--trials", type=_count, help="total number of configurations of the study")
    verb.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="seconds for this command; default: the experiment's limit, for an unfinished study "
        "what remains of it",
    )
    verb.add_argument(
        "--workers",
        help="processes that train; default: one per GPU, else one per core, at most four; "
        "ray:16 uses a Ray cluster",
    )
    verb.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="the Ray cluster; default: that of RAY_ADDRESS, else the one of this node",
    )

    verb = _verb(subparsers, verbs.trials, "the best trials of a study as a table")
    _study_options(verb, default="the newest")
    _form_options(verb, "all trials")

    verb = _verb(subparsers, verbs.studies, "all studies, with state, best value and size")
    _storage_option(verb)

    verb = _verb(subparsers, verbs.delete, "delete a study: in Optuna, in MLflow and on the disk")
    verb.add_argument("study", metavar="STUDY", help="its name, such as mnist-1")
    verb.add_argument(
        "--force",
        action="store_true",
        help="even if the champion comes from it, or a part of it is elsewhere",
    )
    _storage_option(verb)


def _add_models(subparsers: "_Subparsers") -> None:
    verb = _verb(subparsers, verbs.promote, "register the best run's model as the champion")
    _experiment_argument(verb)
    verb.add_argument("--run", help="id of an MLflow run; default: the newest finished study's")
    verb.add_argument(
        "--max-parameters",
        type=_count,
        metavar="N",
        help="for a study with several objectives: take the most accurate point of the Pareto "
        "front with at most N parameters",
    )
    verb.add_argument(
        "--min-accuracy",
        type=_share,
        metavar="X",
        help="for a study with several objectives: take the smallest point of the Pareto front "
        "whose validation accuracy is at least X",
    )
    verb.add_argument(
        "--ensemble",
        action="store_true",
        help="average the models of the winner's confirmed seeds in one file",
    )
    verb.add_argument(
        "--calibrate",
        action="store_true",
        help="divide the logits by a temperature that is chosen on the validation images",
    )
    verb.add_argument("--force", action="store_true", help="override the gate; needs --reason")
    verb.add_argument("--reason", metavar="TEXT", help="why; recorded with the new version")

    verb = _verb(subparsers, verbs.rollback, "make the previous champion the champion again")
    _model_name_option(verb)

    verb = _verb(subparsers, verbs.pull, "write the champion's .keras file")
    version = verb.add_mutually_exclusive_group()
    version.add_argument(
        "model", nargs="?", metavar="MODEL", help="models:/NAME@ALIAS, or models:/NAME/VERSION"
    )
    version.add_argument("--alias", help="which version: champion or previous (default: champion)")
    verb.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="default: here")
    _model_name_option(verb)

    verb = _verb(subparsers, verbs.evaluate, "score a model on labelled images")
    verb.add_argument(
        "--model", required=True, help="a run's id, an alias, models:/…, or a .keras file"
    )
    verb.add_argument(
        "--data",
        required=True,
        help="an experiment's name, a data set's name (digits or mnist), or the path of your own "
        "labelled images",
    )
    _model_name_option(verb)
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--pictures", type=Path, metavar="DIR", help="write plots and pictures there")

    verb = _verb(subparsers, verbs.predict, "classify pictures with the champion")
    verb.add_argument("files", nargs="+", metavar="FILE", help="a picture, or a folder of them")
    _model_options(verb)
    _form_options(verb, "the predictions")


def _add_data_and_runs(subparsers: "_Subparsers") -> None:
    verb = _verb(subparsers, verbs.data, "show the labelled images at a path")
    verb.add_argument(
        "path", type=Path, metavar="PATH", help="a folder, a .csv, an .npz, IDX files"
    )
    verb.add_argument(
        "--picture", type=Path, metavar="FILE", help="write examples of each class to this .png"
    )

    verb = _verb(subparsers, verbs.replay, "train a run again and compare the results bit by bit")
    verb.add_argument("run", help="id of a trial's or confirmation's run in MLflow")

    _verb(subparsers, verbs.sync, "deliver to MLflow what it missed during a search")


def _add_servers(subparsers: "_Subparsers") -> None:
    verb = _verb(subparsers, verbs.ui, "open the MLflow UI")
    verb.add_argument("--port", type=_port, default=5000, help="(default: %(default)s)")

    verb = _verb(subparsers, verbs.dashboard, "serve optuna-dashboard")
    _storage_option(verb)
    verb.add_argument("--port", type=_port, default=8080, help="(default: %(default)s)")

    verb = _verb(
        subparsers, verbs.serve, "draw digits in a browser, and the champion classifies them"
    )
    _model_options(verb)
    verb.add_argument("--port", type=_port, default=8000, help="(default: %(default)s)")
    verb.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 for the whole network (default: %(default)s)"
    )
    verb.add_argument(
        "--token",
        metavar="TEXT",
        help="ask clients for it; MNIST_CNN_TOKEN is safer, as the process list shows arguments",
    )


def _verb(subparsers: "_Subparsers", verb: Verb, text: str) -> argparse.ArgumentParser:
    """Add a subcommand, which is named like its function."""
    parser = subparsers.add_parser(verb.__name__, help=text, description=text)
    parser.set_defaults(verb=verb)
    return parser


def _study_options(parser: argparse.ArgumentParser, default: str) -> None:
    _experiment_argument(parser)
    parser.add_argument("--study", help=f"name of a study, such as mnist-1; default: {default}")
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
    return _number(text, int, lambda number: number >= 1, "a whole number of at least 1")


def _seconds(text: str) -> float:
    return _number(text, float, lambda number: 0 < number < inf, "a number of seconds above 0")


def _share(text: str) -> float:
    return _number(
        text, float, lambda number: 0 < number <= 1, "a share above 0 and up to 1, such as 0.99"
    )


def _port(text: str) -> int:
    return _number(text, int, lambda number: 0 < number < 65536, "a port from 1 to 65535")


def _number(
    text: str, kind: Callable[[str], Number], valid: Callable[[Number], bool], wanted: str
) -> Number:
    with suppress(ValueError):
        number = kind(text)
        if valid(number):
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
