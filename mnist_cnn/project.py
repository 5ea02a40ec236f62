"""The project in the current folder: its experiments by name, and how they are loaded."""

import importlib
import sys
from pathlib import Path

from mnist_cnn import sources
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import Experiment


def experiment_names(root: Path | None = None) -> list[str]:
    """The names of the experiments in `root` (default: the current folder), sorted."""
    folder = (root or Path.cwd()) / "experiments"
    if not folder.is_dir():
        raise UsageError(
            f"there is no experiments/ in {folder.parent}; run from the project's root"
        )
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def check_name(name: str) -> None:
    """Raise UsageError if the current folder has no experiments/<name>.py."""
    names = experiment_names()
    if name not in names:
        raise UsageError(f"there is no experiment {name!r}; valid: {', '.join(names)}")


def find_project() -> None:
    """Let Python import from the current folder: experiments/ and search_spaces/ lie there."""
    if (root := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, root)


def load_experiment(name: str) -> Experiment:
    """The `experiment` of experiments/<name>.py in the current folder.

    Raises UsageError if there is no such file, UserError if it does not hold an `Experiment`.
    """
    check_name(name)
    find_project()
    try:
        found = getattr(importlib.import_module(f"experiments.{name}"), "experiment", None)
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise UserError(f"experiments/{name}.py: {type(error).__name__}: {text}") from error
    if not isinstance(found, Experiment):
        raise UserError(f"experiments/{name}.py must define `experiment = Experiment(...)`")
    # Now, as it was imported: a file may be edited while a search goes on.
    sources.sources_of(found.space, found.dataset, found.sampler, found.pruner)
    return found
