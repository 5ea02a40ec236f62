"""An experiment: which models to search, on which data, and how. It is a plain Python value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias

import optuna

from mnist_cnn.datasets import Dataset
from mnist_cnn.errors import UserError
from mnist_cnn.experiment_fields import (
    are,
    check_dataset,
    check_space,
    is_number,
    name_of,
    take_baselines,
    take_whole_number,
)
from mnist_cnn.objectives import AtLeast as AtLeast  # experiments import all from here
from mnist_cnn.objectives import AtMost as AtMost
from mnist_cnn.objectives import Constraint, Objective, check_together
from mnist_cnn.objectives import Maximize as Maximize
from mnist_cnn.objectives import Minimize as Minimize

if TYPE_CHECKING:  # the search process knows an experiment by its plan and never imports Keras
    import keras
    import keras_tuner

SearchSpace: TypeAlias = "Callable[..., keras.Model] | keras_tuner.HyperModel"


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """How the best trials are trained again on fresh seeds before the winner is chosen.

    Attributes:
        trials: The number of best complete trials to confirm. 0 turns confirmation off.
        seeds: The number of fresh seeds for each of them. No trial uses these seeds.
        max_seeds: The maximum number of seeds for those that may still win. With several objectives
            none wins, and each point of the front gets `seeds`.
        epochs: The number of epochs. None uses the number of a trial.

    Raises:
        UserError: A value is out of range.
    """

    trials: int = 3
    seeds: int = 3
    max_seeds: int = 5
    epochs: int | None = None

    def __post_init__(self) -> None:
        take_whole_number(self, "trials", least=0)
        take_whole_number(self, "seeds")
        take_whole_number(self, "max_seeds")
        take_whole_number(self, "epochs", none=True)
        if self.max_seeds < self.seeds:
            raise UserError(
                f"Confirm: max_seeds={self.max_seeds} must be at least seeds={self.seeds}"
            )


@dataclass(frozen=True, kw_only=True)
class Screen:
    """How configurations are screened, by successive halving.

    A trial trains up to a rung and ends as pruned. The best of the trials that have ended at a rung
    are continued up to the next rung, and the best of the last rung up to the last epoch. A
    continuation is a new trial in Optuna, but not a new configuration.

    Attributes:
        rungs: The epochs of the rungs, rising.
        one_of: The best of this many trials at a rung is continued. Above the first rung the best
            trial always is.

    Raises:
        UserError: A value is out of range.
    """

    rungs: tuple[int, ...] = (1,)
    one_of: int = 3

    def __post_init__(self) -> None:
        take_whole_number(self, "one_of", least=2)
        numbers = isinstance(self.rungs, tuple | list) and all(
            is_number(rung, Integral) for rung in self.rungs
        )
        if (
            not numbers
            or not self.rungs
            or any(low >= high for low, high in pairwise((0, *self.rungs)))
        ):
            raise UserError(
                f"Screen: rungs={self.rungs!r} must be rising epochs from 1 on, such as (1, 4)"
            )
        object.__setattr__(self, "rungs", tuple(int(rung) for rung in self.rungs))


def grouped_tpe(seed: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's TPE sampler, set up for spaces with conditional parameters."""
    return optuna.samplers.TPESampler(seed=seed, group=True)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The definition of a search. `dataclasses.replace` makes a variant.

    Attributes:
        space: A function of KerasTuner's `hp` that returns a compiled model, or a
            `keras_tuner.HyperModel`. A function with parameters `input_shape`, `classes` or
            `class_names` gets those of the data set. With `training_steps` it gets the total number
            of batches, None with rungs; with `training`, whether the model is built to be trained
            or to be saved.
        dataset: A function that returns the data set.
        objectives: What to optimise. The first objective also decides which epoch is the best, and
            when a trial stops early.
        constraints: The constraints that the winner has to satisfy.
        trials: The number of configurations of a study.
        timeout_seconds: The time limit of a study, including confirmations. None means no limit.
        trial_timeout_seconds: A trial that takes longer is stopped and failed. None means no limit.
        epochs: The maximum number of epochs of a trial. The learning rate is the compiled one, and
            the average of the weights is validated and saved.
        epoch_images: The number of images in an epoch, which may be less or more than one pass over
            the training images. None means one pass. Without screening a trial is validated, and
            may be pruned, after every epoch.
        batch_size: The number of images in a training step.
        patience: A trial ends after this many validated epochs without a better first objective.
        validation_fraction: The share of the training images to validate on, in (0, 1).
        seed: The seed of the split, the sampler and, together with the trial's number, of each
            trial. A trial that continues another one has its seed.
        sampler: A function that is called with `seed=` and returns an Optuna sampler.
        pruner: A function without arguments that returns an Optuna pruner.
        screen: How configurations are screened, baselines too. None trains all of them in full.
        confirm: How the best trials are confirmed.
        baseline: The configuration of the first trial, or a sequence of those of the first trials.
            Hyperparameters that it does not name get KerasTuner's default.
        warm_start: Whether a new study also begins with the best configurations of the one before
            it: at most three, and at most a quarter of `trials`.
        precision: A Keras dtype policy. None uses the fastest that the machine supports natively.
            In mixed precision, the layers that give the outputs still compute in float32.
        jit_compile: Whether XLA compiles the training step. None does so only with JAX, which
            requires it. With TensorFlow on a CPU, XLA made an epoch of these models two to four
            times as long.
        deterministic: Whether TensorFlow may use only deterministic operations. On a CPU, training
            is reproducible without it. On a GPU it is not, and with it some operations fail.

    Raises:
        UserError: A value is out of range.
    """

    space: SearchSpace
    dataset: Callable[[], Dataset]
    objectives: tuple[Objective, ...] = (Maximize("val_accuracy"),)
    constraints: tuple[Constraint, ...] = ()
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
    warm_start: bool = True
    precision: str | None = None
    jit_compile: bool | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_space(self.space)
        check_dataset(self.dataset)
        for name in ("trials", "epochs", "batch_size", "patience"):
            take_whole_number(self, name)
        take_whole_number(self, "epoch_images", none=True)
        take_whole_number(self, "seed", least=0)
        if self.epoch_images is not None and self.epoch_images < self.batch_size:
            raise UserError(f"Experiment: epoch_images={self.epoch_images} is less than batch_size")
        for name in ("timeout_seconds", "trial_timeout_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (is_number(seconds, Real) and seconds > 0):
                raise UserError(
                    f"Experiment: {name}={seconds!r} must be a number of seconds above 0, or None"
                )
            if seconds is not None and not isinstance(seconds, int | float):  # of NumPy
                object.__setattr__(self, name, float(seconds))
        fraction = self.validation_fraction
        if not is_number(fraction, Real) or not 0 < fraction < 1:
            raise UserError(
                f"Experiment: validation_fraction={fraction!r} must be a number in (0, 1)"
            )
        if not are(Objective, self.objectives):
            raise UserError(
                f"Experiment: objectives={self.objectives!r} must be a tuple of objectives, such "
                "as (Maximize('val_accuracy'),)"
            )
        if not self.objectives:
            raise UserError(
                "Experiment: objectives is empty; name one, such as Maximize('val_accuracy')"
            )
        if not are(Constraint, self.constraints):
            raise UserError(
                f"Experiment: constraints={self.constraints!r} must be a tuple of constraints, "
                "such as (AtMost('parameters', 20_000),)"
            )
        take_baselines(self, "baseline")
        check_together(self.objectives, self.constraints)
        if self.screen is not None and not isinstance(self.screen, Screen):
            raise UserError(f"Experiment: screen={self.screen!r} must be a Screen(...), or None")
        if not isinstance(self.confirm, Confirm):
            raise UserError(
                f"Experiment: confirm={self.confirm!r} must be a Confirm(...); "
                "Confirm(trials=0) turns it off"
            )
        if self.screen and (len(self.objectives) > 1 or self.screen.rungs[-1] >= self.epochs):
            raise UserError(
                f"Experiment: screen={self.screen} needs a single objective and trials of more "
                f"than {self.screen.rungs[-1]} epochs; screen=None turns it off"
            )

    @cached_property
    def opened_dataset(self) -> Dataset:
        """The data set. It is opened once, because a source may read every file for it."""
        found = self.dataset()
        if not isinstance(found, Dataset):
            raise UserError(
                f"Experiment: dataset={name_of(self.dataset)} returned {type(found).__name__}, "
                "not a Dataset"
            )
        return found
