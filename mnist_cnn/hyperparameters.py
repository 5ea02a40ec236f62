"""KerasTuner's hyperparameters, backed by an Optuna trial.

A search space written for `keras_tuner.HyperParameters` runs here unchanged. `TrialHyperParameters`
keeps KerasTuner's names, scopes, conditions and values. It asks the trial for a value when the
space first declares it.

| declaration                       | what the trial records                                       |
|-----------------------------------|--------------------------------------------------------------|
| Choice, Boolean                   | the value, categorical                                       |
| Int and Float, linear or log      | the value, in an int or float distribution with step and log |
| log or reverse_log, with a step   | the index in KerasTuner's grid: Optuna has no such grid      |
| reverse_log without a step        | KerasTuner's cumulative probability, from 0 to 1             |
| Fixed, or a single possible value | nothing: there is nothing to sample                          |
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from mnist_cnn.optuna_internals import answer_next, contains, enqueued_values


class TrialHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """A `keras_tuner.HyperParameters` whose values come from an Optuna trial.

    The trial is asked for a hyperparameter once, when it is first declared while it is active.
    Everything else is as in KerasTuner 1.4.8: an inactive hyperparameter returns None, a name that
    has a value keeps it, and `copy()` returns a plain `keras_tuner.HyperParameters` in which new
    declarations get their defaults (as in a `keras_tuner.HyperModel` with `tunable=False`).

    In the study a hyperparameter has its KerasTuner name. The name of a conditional one includes
    its conditions: `units`, `block/units`, `units[model=mlp]`, `units[model=cnn|resnet,depth=2]`.

    A trial from `study.enqueue_trial(values)` needs KerasTuner's names (or the study's) in
    `values`, and the values that the space should see. These are `hp.values` of an earlier trial,
    not its `params`, which may hold an index. What `values` does not name gets its `default`.

    A parameter that the trial already has, because it began in another process, keeps its value.

    Args:
        trial: The `optuna.trial.Trial` to ask. To repeat a trial, pass its `FrozenTrial`, or
            `optuna.trial.FixedTrial(trial.params)`.

    Raises:
        ValueError: From a declaration: the range cannot be sampled, the enqueued or stored value is
            outside it, or an earlier trial of the study declared the name with another domain.
            Nothing is recorded for such a declaration. KerasTuner's own errors are passed on. A
            default outside the range, which KerasTuner accepts, is refused in an enqueued trial.

    Source: the documentation of `keras_tuner.HyperParameters` (KerasTuner 1.4.8) and of
    `optuna.trial.Trial` and `Study.enqueue_trial` (Optuna 5.0). Where KerasTuner's documentation
    and its sampling differ, this class follows the sampling: `Float("x", 0, 1, step=0.1)` ends at
    0.9.
    """

    def __init__(self, trial: BaseTrial) -> None:
        super().__init__()
        self._trial = trial
        self._enqueued = enqueued_values(trial)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> keras_tuner.HyperParameters:
        """Return a plain `keras_tuner.HyperParameters`, because a config has no trial to ask."""
        return keras_tuner.HyperParameters.from_config(config)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        hp = hyperparameter
        domain = _domain(hp)  # also refuses bad declarations of inactive hyperparameters
        if self.is_active(hp) and hp.name not in self.values:
            self.values[hp.name] = self._ask(hp, domain)
        # Not `overwrite`: it would replace the value that the trial recorded by the default.
        return super()._register(hp)

    def _ask(self, hp: Any, domain: _Domain) -> Any:
        name = _study_name(hp)
        if self._enqueued is not None:
            value = self._enqueued.get(name, self._enqueued.get(hp.name, hp.default))
            answer_next(self._trial, name, domain.encode(value))
        return domain.ask(self._trial, name)


def _study_name(hp: Any) -> str:
    conditions = ",".join(
        f"{_escape(condition.name)}={'|'.join(map(_escape, condition.values))}"
        for condition in hp.conditions
    )
    return f"{hp.name}[{conditions}]" if conditions else str(hp.name)


def _escape(text: Any) -> str:
    """Escape separators, so that the values `["a|b"]` and `["a", "b"]` give different names."""
    return re.sub(r"([\\|,=\[\]])", r"\\\1", str(text))


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)


def _domain(hp: Any) -> _Domain:
    if isinstance(hp, (kinds.Choice, kinds.Boolean, kinds.Fixed)):
        return _Choices(hp, hp.values) if len(hp.values) > 1 else _Constant(hp, hp.values)
    _refuse_bad_range(hp)
    if hp.min_value == hp.max_value:
        return _Constant(hp, [hp.min_value])
    if hp.step is None:
        return _ReverseLog(hp) if hp.sampling == "reverse_log" else _Number(hp)
    return _Number(hp) if hp.sampling == "linear" and _in_decimals(hp) else _Indexed(hp)


def _refuse_bad_range(hp: Any) -> None:
    """Refuse ranges that KerasTuner accepts but cannot sample, or samples to a single value."""
    if not (math.isfinite(hp.min_value) and math.isfinite(hp.max_value)):
        raise ValueError(f"the bounds must be finite: {hp!r}")
    if hp.step is not None and not hp.step > 0:
        raise ValueError(f"the step must be above 0: {hp!r}")
    if hp.step is not None and hp.min_value < hp.max_value and hp._get_n_values() == 1:
        raise ValueError(f"the step is too large for a second value in the range: {hp!r}")


def _in_decimals(hp: Any) -> bool:
    """Return whether Optuna, which computes steps in decimal digits, has the same grid."""
    low, high, step = (Decimal(str(x)) for x in (hp.min_value, _last(hp), hp.step))
    return (high - low) % step == 0


def _last(hp: Any) -> float:
    """Return the last value of a linear range, computed without binary rounding."""
    if hp.step is None:
        return float(hp.max_value)
    steps = hp._get_n_values() - 1
    return float(Decimal(str(hp.min_value)) + steps * Decimal(str(hp.step)))


class _Domain:
    """The values of one hyperparameter, in KerasTuner and as Optuna stores them.

    `encode` converts a value to the stored one. `decode` converts it back, to KerasTuner's exact
    type and digits. Both only check the value unless a subclass overrides them.
    """

    distribution: BaseDistribution

    def __init__(self, hp: Any) -> None:
        self.hp = hp

    def ask(self, trial: BaseTrial, name: str) -> Any:
        try:
            stored = _suggest(trial, name, self.distribution)
        except ValueError as error:  # Optuna's message does not always name the parameter
            if "dynamic value space" in str(error):
                raise ValueError(
                    f"hyperparameter '{name}': its values differ from those in an earlier trial, "
                    "but Optuna has one list of values for a name; give each list its own name, "
                    f"such as f'{name}_{{depth}}', or declare it in hp.conditional_scope"
                ) from error
            raise ValueError(f"hyperparameter '{name}': {error}") from error
        # Optuna only warns if the value of a FixedTrial or a stored trial is out of range.
        if not contains(self.distribution, stored):
            raise self.outside(stored)
        return self.decode(stored)

    def encode(self, value: Any) -> Any:
        return self.member(value)

    def decode(self, stored: Any) -> Any:
        return self.member(stored)

    def member(self, value: Any) -> Any:
        """Return the value of the domain that equals `value`, or raise ValueError."""
        raise NotImplementedError

    def outside(self, value: Any) -> ValueError:
        return ValueError(
            f"hyperparameter '{self.hp.name}' cannot be {value!r}; valid: {self.in_words()}"
        )

    def in_words(self) -> str:
        """Return the valid values, for messages."""
        raise NotImplementedError


class _Choices(_Domain):
    def __init__(self, hp: Any, values: Sequence[Any]) -> None:
        super().__init__(hp)
        self.values = list(values)
        self.distribution = CategoricalDistribution(self.values)

    def member(self, value: Any) -> Any:
        if value not in self.values:
            raise self.outside(value)
        return self.values[self.values.index(value)]

    def in_words(self) -> str:
        return ", ".join(map(repr, self.values))


class _Constant(_Choices):
    def ask(self, trial: BaseTrial, name: str) -> Any:
        return self.values[0]


class _Number(_Domain):
    """An Int or Float whose value Optuna can store: linear, or log without a step."""

    def __init__(self, hp: Any) -> None:
        super().__init__(hp)
        self.type: type[int] | type[float] = int if isinstance(hp, kinds.Int) else float
        self.distribution = self.make_distribution()

    def make_distribution(self) -> BaseDistribution:
        hp, log = self.hp, self.hp.sampling == "log"
        if self.type is int:
            return IntDistribution(hp.min_value, int(_last(hp)), log, hp.step or 1)
        return FloatDistribution(hp.min_value, _last(hp), log, hp.step)

    def encode(self, value: Any) -> Any:
        return min(self.member(value), _last(self.hp))  # 0.3, if the grid ends at 0.1 + 2 * 0.1

    def member(self, value: Any) -> Any:
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
            own = self.nearest(value)
            slack = 0.0 if self.hp.step is None else 1e-9 * abs(self.value_at(1) - self.value_at(0))
            if math.isclose(own, value, rel_tol=1e-9, abs_tol=slack):
                return own
        raise self.outside(value)

    def in_words(self) -> str:
        hp = self.hp
        if hp.step is None:
            return f"{hp.min_value} to {hp.max_value}"
        if hp.sampling == "linear":
            return f"{hp.min_value} to {self.type(_last(hp))} in steps of {hp.step}"
        return f"{hp.min_value} to {hp.max_value} by factors of {hp.step}"

    def nearest(self, value: Any) -> float:
        if self.hp.step is not None:
            return self.value_at(self.index_of(value))
        return self.type(min(max(value, self.hp.min_value), self.hp.max_value))

    def value_at(self, index: int) -> float:
        return self.type(self.hp._get_value_by_index(index))

    def index_of(self, value: Any) -> int:
        last: int = self.hp._get_n_values() - 1
        if self.hp.sampling == "linear":
            return int(min(max(round((value - self.hp.min_value) / self.hp.step), 0), last))
        return min(range(last + 1), key=lambda index: abs(self.value_at(index) - value))


class _Indexed(_Number):
    """An Int or Float in steps that Optuna does not support. Optuna stores the index."""

    def make_distribution(self) -> BaseDistribution:
        return IntDistribution(0, self.hp._get_n_values() - 1)

    def encode(self, value: Any) -> int:
        return self.index_of(self.member(value))

    def decode(self, stored: int) -> float:
        return self.value_at(stored)


class _ReverseLog(_Number):
    """An Int or Float with reverse_log and no step. Optuna stores the cumulative probability."""

    def make_distribution(self) -> BaseDistribution:
        return FloatDistribution(0.0, 1.0)

    def encode(self, value: Any) -> float:
        # KerasTuner's formula uses 1 - probability, so multiples of 2**-53 give every value that it
        # can return, and a sampled value is found again exactly.
        grid = range(2**53)
        index = bisect_left(grid, self.member(value), key=lambda k: self.decode(k / 2**53))
        return index / 2**53

    def decode(self, stored: float) -> float:
        # Rounding can carry the formula just past a bound, or stop it just short of one.
        ends = {0.0: self.hp.min_value, 1.0: self.hp.max_value}
        return self.nearest(ends.get(stored, self.hp.prob_to_value(stored)))
