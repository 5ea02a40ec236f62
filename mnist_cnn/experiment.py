"""An experiment: which models, on which data, searched how. A plain value, written in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import optuna

from mnist_cnn.datasets import Dataset
from mnist_cnn.errors import UserError

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


def _are_objectives(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(one, Objective) for one in value)


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
        if not _are_objectives(self.objectives):
            raise UserError(
                f"Experiment: objectives={self.objectives!r} must be a tuple of objectives, such "
                "as (Maximize('val_accuracy'),)"
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
