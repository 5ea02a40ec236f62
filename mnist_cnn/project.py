"""The project in the current folder: finds and loads its experiments."""

import importlib
import sys
from pathlib import Path

from mnist_cnn import sources
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import Experiment


def experiment_names(root: Path | None = None) -> list[str]:
    """Return the names of the experiments in a project, sorted.

    Args:
        root: The project's folder; the current folder by default.

    Raises:
        UsageError: The folder has no experiments/.
    """
    folder = (root or Path.cwd()) / "experiments"
    if not folder.is_dir():
        raise UsageError(
            f"there is no experiments/ in {folder.parent}; run from the project's root"
        )
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def check_name(name: str) -> None:
    """Check that the current folder has experiments/<name>.py.

    Raises:
        UsageError: It does not.
    """
    names = experiment_names()
    if name not in names:
        raise UsageError(f"there is no experiment {name!r}; valid: {', '.join(names)}")


def find_project() -> None:
    """Let Python import experiments/ and search_spaces/ from the current folder."""
    if (root := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, root)


def load_experiment(name: str) -> Experiment:
    """Return the `experiment` of experiments/<name>.py in the current folder.

    Raises:
        UsageError: There is no such file.
        UserError: The file raises an error, or does not define an `Experiment`.
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
