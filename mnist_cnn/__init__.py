"""Hyperparameter search for Keras: KerasTuner's spaces, Optuna's trials, MLflow's runs.

The command line is `cli`. It calls a subcommand of command_line/, which calls replay, delete_study,
ui, dashboard, or a function of a folder below. The Python API is `api`: `mnist_cnn.search` and
`mnist_cnn.load_champion`. Experiments are written with:

    experiment       the fields of an experiment
    objectives       what it optimises, and within which bounds
    datasets/        labelled images from any source
    hyperparameters  KerasTuner's `hp`, backed by an Optuna trial

The parts of a search. Each imports only from those above it:

    project/         how an experiment is found, and what makes its trials comparable
    charts/          the style of all plots
    tracking/        a run's journal, and its delivery to MLflow
    workers/         processes that take calls, and may die
    study/           Optuna's state, and the decisions that depend on it
    training/        Keras: what a search runs in worker processes only
    retrain          repeats a recorded run, for a search and for replay
    report/          a study's results for people: plots, tables, a page
    search_process/  one search, from the lock to the report; `progress` shows it

After a search: registry/, evaluation/, promotion/, serving/ and replay. At the bottom: errors,
files, file_lock, keras_file, keras_backend, urls, mlruns, optuna_internals.

docs/architecture.md follows one trial through these modules. tests/test_imports.py has the order of
all imports.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from mnist_cnn.workers.signals import uninterrupted

if TYPE_CHECKING:
    from mnist_cnn.api import Result, load_champion, search
    from mnist_cnn.datasets import Dataset, Images
    from mnist_cnn.errors import UserError
    from mnist_cnn.experiment import (
        AtLeast,
        AtMost,
        Confirm,
        Experiment,
        Maximize,
        Minimize,
        Screen,
    )
    from mnist_cnn.hyperparameters import TrialHyperParameters
    from mnist_cnn.prior_sampler import PriorSampler

__all__ = [
    "AtLeast",
    "AtMost",
    "Confirm",
    "Dataset",
    "Experiment",
    "Images",
    "Maximize",
    "Minimize",
    "PriorSampler",
    "Result",
    "Screen",
    "TrialHyperParameters",
    "UserError",
    "load_champion",
    "search",
]

_MODULES = {
    "api": ("Result", "load_champion", "search"),
    "datasets": ("Dataset", "Images"),
    "errors": ("UserError",),
    "experiment": (
        "AtLeast",
        "AtMost",
        "Confirm",
        "Experiment",
        "Maximize",
        "Minimize",
        "Screen",
    ),
    "hyperparameters": ("TrialHyperParameters",),
    "prior_sampler": ("PriorSampler",),
}


if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: Keras and Optuna take seconds."""
        for module, names in _MODULES.items():
            if name in names:
                with uninterrupted(), warnings.catch_warnings():
                    # In a notebook Optuna's progress bars ask for ipywidgets. None is shown here.
                    warnings.filterwarnings("ignore", message="IProgress not found")
                    globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
