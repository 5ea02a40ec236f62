"""What an experiment optimises, and within which bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Literal

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_fields import is_number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ACCURACY = "val_accuracy"  # of every classifier that is compiled with the metric "accuracy"
# Metrics of a run besides those of the saved model. An objective after the first may be one.
LATENCY = "milliseconds_per_image"  # measured only if an objective or a constraint asks for it
COST_METRICS = ("parameters", "multiply_accumulates", "train_seconds", LATENCY)


@dataclass(frozen=True)
class Objective:
    """A metric to optimise, and its direction.

    Attributes:
        metric: The name of the metric, such as `val_accuracy`.
        direction: Which values are better.

    Raises:
        UserError: The metric is no name, or the direction does not exist or is the wrong one.
    """

    metric: str
    direction: Literal["maximize", "minimize"]

    def __post_init__(self) -> None:
        _check_name(self.metric)
        if self.direction not in ("maximize", "minimize"):
            raise UserError(
                f"the direction of {self.metric!r} is {self.direction!r}; valid: 'maximize', "
                "'minimize'"
            )
        better = _direction_of(self.metric)
        if better not in ("", self.direction):
            raise UserError(
                f"the objective {self.metric!r} is to be {self.direction}d, but "
                f"{'less' if better == 'minimize' else 'more'} is better; write "
                f"{better.capitalize()}({self.metric!r})"
            )

    def better(self, value: float, other: float) -> bool:
        """Return whether `value` is strictly better than `other`. NaN never is."""
        return value > other if self.direction == "maximize" else value < other

    def rank_key(self, value: float) -> float:
        """Return a sort key by which the best value comes first."""
        return -value if self.direction == "maximize" else value

    def gain(self, value: float, other: float) -> float:
        """Return by how much `value` is better than `other`. It is negative if it is worse."""
        return self.rank_key(other) - self.rank_key(value)

    @property
    def worst(self) -> float:
        """The infinite value that every other value is better than."""
        return float("-inf") if self.direction == "maximize" else float("inf")


def Maximize(metric: str) -> Objective:  # noqa: N802, reads like a class
    """Return an objective for which more is better, such as `val_accuracy`."""
    return Objective(metric, "maximize")


def Minimize(metric: str) -> Objective:  # noqa: N802
    """Return an objective for which less is better, such as `val_loss`."""
    return Objective(metric, "minimize")


def _check_name(metric: object) -> None:
    if not isinstance(metric, str):
        raise UserError(f"the metric {metric!r} must be a name, such as 'val_accuracy'")


def _direction_of(metric: str) -> str:
    """Return the direction in which a metric gets better; "" if it is unknown."""
    if "neg_" in metric:  # such as scikit-learn's neg_log_loss
        return ""
    if metric in COST_METRICS or metric.endswith("loss"):
        return "minimize"
    return "maximize" if metric.endswith("accuracy") else ""


@dataclass(frozen=True)
class Constraint:
    """A constraint that a trial has to satisfy, such as a maximum number of parameters.

    A trial that violates a constraint on `parameters` or `multiply_accumulates` is pruned before
    training, because these are known then. A trial that violates another one is complete, but is
    neither confirmed nor the winner. Optuna's samplers get the amount of each violation.

    Attributes:
        metric: The name of the metric.
        kind: Whether the bound is a maximum or a minimum.
        bound: The bound.

    Raises:
        UserError: The kind does not exist, or the bound is not a finite number, or no value can
            satisfy it.
    """

    metric: str
    kind: Literal["at most", "at least"]
    bound: float

    def __post_init__(self) -> None:
        _check_name(self.metric)
        if self.kind not in ("at most", "at least"):
            raise UserError(
                f"the constraint on {self.metric!r} is {self.kind!r}; valid: 'at most', 'at least'"
            )
        if not is_number(self.bound, Real) or not math.isfinite(self.bound):
            raise UserError(
                f"the bound of {self.metric!r} is {self.bound!r}; it must be a finite number"
            )
        if self.kind == "at least" and self.metric.endswith("accuracy") and self.bound > 1:
            raise UserError(f"{self} is impossible: an accuracy is a share, such as 0.985")
        if self.kind == "at most" and self.metric in COST_METRICS and self.bound <= 0:
            raise UserError(f"{self} is impossible: every model has more")

    def __str__(self) -> str:
        return f"{self.metric} {self.kind} {_plain(self.bound)}"

    def violation(self, value: float) -> float:
        """Return the violation as a share of the bound; 0 or less if `value` satisfies it."""
        excess = value - self.bound if self.kind == "at most" else self.bound - value
        return excess / abs(self.bound or 1.0)

    def broken(self, value: float) -> str:
        """Return a message that `value` violates the constraint."""
        return f"{self.metric} {_plain(value)}, not {self.kind} {_plain(self.bound)}"


def keeps_constraints(trial: "FrozenTrial") -> bool:
    """Return whether a trial satisfies all constraints, as far as they were checked."""
    return all(violation <= 0 for violation in trial.constraints.values())


def _plain(value: float) -> str:
    """Format a bound or a value: 20,000 or 0.985."""
    return f"{value:,.10g}"


def AtMost(metric: str, bound: float) -> Constraint:  # noqa: N802, reads like a class
    """Return the constraint that a metric is at most `bound`, such as `parameters`."""
    return Constraint(metric, "at most", bound)


def AtLeast(metric: str, bound: float) -> Constraint:  # noqa: N802
    """Return the constraint that a metric is at least `bound`, such as `val_accuracy`."""
    return Constraint(metric, "at least", bound)


def check_together(objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> None:
    """Refuse a metric that is optimised twice, and bounds that exclude each other.

    Raises:
        UserError: There is one.
    """
    metrics = [objective.metric for objective in objectives]
    for metric in metrics:
        if metrics.count(metric) > 1:
            raise UserError(f"Experiment: two objectives are {metric!r}; keep one of them")
    for most in constraints:
        for least in constraints:
            opposite = (most.metric, most.kind, least.kind) == (least.metric, "at most", "at least")
            if opposite and most.bound < least.bound:
                raise UserError(f"Experiment: no trial can have both {most} and {least}")
