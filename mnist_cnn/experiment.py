"""An experiment: which models, on which data, searched how. A plain value, written in Python."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import optuna

from mnist_cnn import space as space_source
from mnist_cnn.datasets import Dataset
from mnist_cnn.errors import UsageError, UserError

if TYPE_CHECKING:  # the search process has plans and never needs Keras
    import keras
    import keras_tuner

SearchSpace: TypeAlias = "Callable[..., keras.Model] | keras_tuner.HyperModel"


@dataclass(frozen=True)
class Objective:
    """A metric of the validation images, and which way it is better."""

    metric: str
    direction: Literal["maximize", "minimize"]

    def better(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`; NaN never is."""
        return value > other if self.direction == "maximize" else value < other

    def rank_key(self, value: float) -> float:
        """Return a sort key: the best value comes first."""
        return -value if self.direction == "maximize" else value

    def gain(self, value: float, other: float) -> float:
        """Return by how much `value` is better than `other`; below zero if it is worse."""
        return self.rank_key(other) - self.rank_key(value)

    @property
    def worst(self) -> float:
        """The value that every other is better than."""
        return float("-inf") if self.direction == "maximize" else float("inf")


def Maximize(metric: str) -> Objective:  # noqa: N802, reads as what it stands for
    """An objective for which more is better, such as `val_accuracy`."""
    return Objective(metric, "maximize")


def Minimize(metric: str) -> Objective:  # noqa: N802
    """An objective for which less is better, such as `val_loss`."""
    return Objective(metric, "minimize")


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """How the best trials are trained again before one is called the best.

    trials: how many of the best complete trials; 0 leaves the confirmation out.
    seeds: how many fresh seeds each, not one of them used by a trial.
    max_seeds: up to how many seeds the two best get while they cannot be told apart.
    epochs: for how many epochs; None for as many as a trial has.
    """

    trials: int = 3
    seeds: int = 3
    max_seeds: int = 5
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.trials < 0 or self.seeds < 1 or self.max_seeds < self.seeds:
            raise UserError(
                f"Confirm: trials={self.trials} must be at least 0, seeds={self.seeds} at least 1 "
                f"and max_seeds={self.max_seeds} at least seeds"
            )


@dataclass(frozen=True, kw_only=True)
class Screen:
    """How configurations are screened: all are looked at briefly, the best are tried in full.

    A look is a trial of its own, which ends as pruned, and counts as one.

    epochs: how long the look is.
    one_of: of so many that were looked at, the best one is tried in full.
    """

    epochs: int = 1
    one_of: int = 3

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.one_of < 2:
            raise UserError(
                f"Screen: epochs={self.epochs} must be at least 1 and one_of={self.one_of} at "
                "least 2"
            )


def grouped_tpe(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE for spaces in which a parameter exists only with some values of others."""
    return optuna.samplers.TPESampler(seed=seed, group=True)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a search runs. `dataclasses.replace` makes a variant.

    space: a function of KerasTuner's `hp`, or a `keras_tuner.HyperModel`, giving a compiled model.
        A function that has parameters `input_shape` or `classes` is given the data set's.
    dataset: returns the data set.
    objectives: what is searched for; the first also picks the best epoch and stops a trial early.
    trials: how many trials a study has.
    timeout_seconds: bound on a study's time, confirmation included; None for none.
    trial_timeout_seconds: a trial that takes longer is stopped and failed; None for no bound.
    epochs, batch_size: of every trial. The learning rate follows one cycle over the epochs;
        validated and saved is the average of the weights (averaging.py).
    epoch_images: how many images an epoch has, which is how often a trial is judged; None for a
        pass over all of them.
    patience: a trial ends after so many epochs without a better first objective.
    validation_fraction: share of the training images to validate on, in (0, 1).
    seed: of the split, the sampler and, with the trial's number, of each trial; what goes on after
        its look keeps the look's.
    sampler: called with `seed=`, returns the Optuna sampler.
    pruner: called without arguments, returns the Optuna pruner.
    screen: how configurations are screened; None for all to be tried in full. Baselines always are.
    confirm: how the best trials are confirmed.
    baseline: the first trial's configuration, or a sequence of the first trials', which may be
        empty; what one leaves out has KerasTuner's default.
    precision: a Keras dtype policy; None for the fastest that the machine computes natively.
    jit_compile: whether XLA compiles the training step; None for where it has to, which is JAX.
        With TensorFlow on a CPU it made an epoch of these models two to four times as long.
    deterministic: whether TensorFlow takes deterministic operations only. On a CPU a training comes
        to the same weights without; on a GPU it takes this, and some operations then refuse.

    Raises UserError for a value out of range.
    """

    space: SearchSpace
    dataset: Callable[[], Dataset]
    objectives: tuple[Objective, ...] = (Maximize("val_accuracy"),)
    trials: int = 50
    timeout_seconds: float | None = None
    trial_timeout_seconds: float | None = None
    epochs: int = 5
    epoch_images: int | None = None
    batch_size: int = 256
    patience: int = 3
    validation_fraction: float = 1 / 6
    seed: int = 0
    sampler: Callable[..., optuna.samplers.BaseSampler] = grouped_tpe
    pruner: Callable[..., optuna.pruners.BasePruner] = optuna.pruners.MedianPruner
    screen: Screen | None = None
    confirm: Confirm = field(default_factory=Confirm)
    baseline: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    precision: str | None = None
    jit_compile: bool | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"Experiment: {name}={getattr(self, name)} must be at least 1")
        if self.epoch_images is not None and self.epoch_images < self.batch_size:
            raise UserError(f"Experiment: epoch_images={self.epoch_images} is less than a batch")
        for name in ("timeout_seconds", "trial_timeout_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise UserError(f"Experiment: {name}={seconds} must be above 0, or None")
        if not 0 < self.validation_fraction < 1:
            raise UserError(
                f"Experiment: validation_fraction={self.validation_fraction} must lie in (0, 1)"
            )
        if not self.objectives:
            raise UserError(
                "Experiment: objectives is empty; name one, as Maximize('val_accuracy')"
            )
        if self.screen and (len(self.objectives) > 1 or self.screen.epochs >= self.epochs):
            raise UserError(
                f"Experiment: screen={self.screen} takes a single objective and trials of more "
                f"than {self.screen.epochs} epochs; screen=None leaves it out"
            )


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
    return found


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the search process has to know of an experiment: plain values only.

    baselines: the configurations of the first trials.
    description: each field of the experiment as text.
    fingerprint: equal for experiments whose trials can be compared.
    """

    name: str
    objectives: tuple[Objective, ...]
    trials: int
    timeout_seconds: float | None
    trial_timeout_seconds: float | None
    epochs: int
    screen: Screen | None
    confirm: Confirm
    baselines: tuple[Mapping[str, Any], ...]
    description: Mapping[str, str]
    fingerprint: str


def plan(name: str, experiment: Experiment) -> Plan:
    """The plan of the experiment called `name`."""
    return Plan(
        name=name,
        objectives=experiment.objectives,
        trials=experiment.trials,
        timeout_seconds=experiment.timeout_seconds,
        trial_timeout_seconds=experiment.trial_timeout_seconds,
        epochs=experiment.epochs,
        screen=experiment.screen,
        confirm=experiment.confirm,
        baselines=baselines(experiment),
        description=describe(experiment),
        fingerprint=fingerprint(experiment),
    )


def baselines(experiment: Experiment) -> tuple[Mapping[str, Any], ...]:
    """The configurations of the experiment's first trials."""
    given = experiment.baseline
    return (dict(given),) if isinstance(given, Mapping) else tuple(map(dict, given))


def describe(experiment: Experiment) -> dict[str, str]:
    """Each field of an experiment as text, callables by name and arguments."""
    return {item.name: _text(getattr(experiment, item.name)) for item in fields(experiment)}


# A study may go on under another budget, so these are no part of what its trials have in common.
_BUDGET = {"trials", "timeout_seconds", "trial_timeout_seconds", "confirm"}

_SAMPLING = ("sampler", "pruner")


def comparable(experiment: Experiment) -> dict[str, str]:
    """The fields, as text, that two trials have to have in common to be compared."""
    return {name: text for name, text in describe(experiment).items() if name not in _BUDGET}


def fingerprint(experiment: Experiment) -> str:
    """A digest of all that makes two trials of an experiment comparable.

    The fields, the source of the file that defines the space, the data set's digest, and the
    version of this package, which trains. Trials of different fingerprints never share a study.
    """
    facts = comparable(experiment)
    facts |= {f"{name}_source": _own_source(getattr(experiment, name)) for name in _SAMPLING}
    facts["space_source"] = space_source.text(experiment.space)
    facts["data"] = experiment.dataset().digest
    facts["version"] = version("mnist-cnn")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _own_source(value: Any) -> str:
    """The text of a function, which its name does not tell; "" for a class, told by its name."""
    function = value.func if isinstance(value, partial) else value
    return inspect.getsource(function) if inspect.isfunction(function) else ""


def _text(value: Any) -> str:
    if isinstance(value, partial):
        given = [_text(item) for item in value.args]
        given += [f"{name}={_text(item)}" for name, item in value.keywords.items()]
        return f"{_text(value.func)}({', '.join(given)})"
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_text(item)}' for key, item in value.items())}}}"
    if (
        getattr(type(value), "__repr__", None) is object.__repr__
    ):  # a HyperModel, a pruner: told by its settings
        given = [
            f"{name}={_text(item)}"
            for name, item in sorted(getattr(value, "__dict__", {}).items())
            if getattr(item, "__self__", None) is not value  # KerasTuner wraps `build`
        ]
        return f"{type(value).__module__}.{type(value).__qualname__}({', '.join(given)})"
    return _ADDRESS.sub("", repr(value))


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
