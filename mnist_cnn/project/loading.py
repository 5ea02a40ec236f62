"""The project in the current folder: finds and loads its experiments."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mnist_cnn import known_data
from mnist_cnn.datasets.paths.tree import root_of
from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment import Experiment
from mnist_cnn.experiment_id import ExperimentId, experiment_id
from mnist_cnn.mlruns import no_project
from mnist_cnn.project.fingerprint import note


def experiment_names(root: Path | None = None) -> list[str]:
    """Return the names of the experiments in a project, sorted.

    Args:
        root: The project's folder; the current folder by default.

    Raises:
        UsageError: The folder has no experiments/.
    """
    folder = (root or Path.cwd()) / "experiments"
    if not folder.is_dir():
        raise no_project(folder.parent)
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def check_experiment(experiment: ExperimentId) -> None:
    """Check that the current folder has the experiment's file, and that its data exist.

    Raises:
        UsageError: One of them is missing, or the file's name cannot be used.
    """
    names = experiment_names()
    if experiment.file not in names:
        raise UsageError(
            f"there is no experiment {unknown(experiment.file, names)}; valid: {', '.join(names)}"
        )
    # It becomes part of commands, of MLflow's filters and of the name of a module.
    valid = re.sub(r"[^\w-]+", "_", experiment.file).lstrip("_-") or "mine"
    if valid != experiment.file:
        raise UsageError(
            f"the name {experiment.file!r} of a file in experiments/ may only have letters, "
            f"digits, _ and -, and begins with a letter or digit; rename it, such as to {valid}.py"
        )
    if experiment.data is not None and not known_data.sent_facts(experiment.data):
        root_of(experiment.data)


def find_experiment(name: str) -> ExperimentId:
    """Return the experiment of this name: a file's, or one with data that were searched here.

    Raises:
        UsageError: It does not exist.
    """
    known = known_experiments()
    if name not in known:
        raise UsageError(
            f"there is no experiment {unknown(name, known)}; valid: {', '.join(experiment_names())}"
        )
    return known[name]


def known_experiments() -> dict[str, ExperimentId]:
    """Return the experiments in the current folder by name, with those made for known data.

    Raises:
        UsageError: The folder has no experiments/.
    """
    files = experiment_names()
    found = [ExperimentId(file) for file in files]
    found += [experiment_id(file, path) for path in known_data.known_paths() for file in files]
    return {each.name: each for each in found}


def find_project() -> None:
    """Let Python import experiments/ and search_spaces/ from the current folder."""
    root = str(Path.cwd())
    if sys.path[:1] != [root]:  # otherwise another project may come first
        sys.path.insert(0, root)


def load_experiment(experiment: ExperimentId) -> Experiment:
    """Return the `experiment` of a file in experiments/, made for the data if there are any.

    Raises:
        UsageError: There is no such file, there are no such data, or they cannot be used.
        UserError: The file raises an error, or does not define an `Experiment`.
    """
    check_experiment(experiment)
    find_project()
    file = f"experiments/{experiment.file}.py"
    try:
        module = importlib.import_module(f"experiments.{experiment.file}")
        found = _made(experiment, getattr(module, "experiment", None))
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise UserError(f"{file}: {type(error).__name__}: {text}") from error
    if not isinstance(found, Experiment):
        raise UserError(f"{file} must define `experiment = Experiment(...)`")
    note(found, module.__name__)
    return found


def _made(experiment: ExperimentId, found: Any) -> Any:
    """Return what a file defines as `experiment`, made for the data if there are any."""
    takes_data = inspect.isfunction(found) and "data" in inspect.signature(found).parameters
    if experiment.data is None:
        if takes_data:
            raise UsageError(
                f"experiment {experiment.file!r} needs data; add --data PATH, or DATA="
            )
        return found
    if not takes_data:
        raise UsageError(
            f"experiment {experiment.file!r} has its own data set; leave out --data, or "
            "leave out its name"
        )
    return _made_for(found, experiment.data, known_data.stamp(experiment.data))


@lru_cache(maxsize=1)  # until the files change
def _made_for(make: Callable[..., Any], data: str, stamp: str) -> Any:
    return make(data=partial(known_data.dataset_at, data))
