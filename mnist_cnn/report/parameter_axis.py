"""A hyperparameter as an axis of a plot: the position of each trial, and the ticks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import Locator, LogLocator, MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

# By the trial's number: the hyperparameters as the search space saw them.
SeenValues = Mapping[int, Mapping[str, Any]]

MAX_TICKS = 6  # of numbers
MAX_CHOICE_TICKS = 12
LABEL_LENGTH = 14  # characters


@dataclass(frozen=True)
class ParameterAxis:
    """An axis from 0 to 1.

    Attributes:
        name: The hyperparameter's name in the study.
        positions: The position of each trial that has the hyperparameter, by the trial's number.
        ticks: The position and the label of each.
        discrete: Whether trials often share a position.
    """

    name: str
    positions: Mapping[int, float]
    ticks: Sequence[tuple[float, str]]
    discrete: bool


def parameter_axis(name: str, trials: Sequence[FrozenTrial], seen: SeenValues) -> ParameterAxis:
    """Return the axis of a hyperparameter. It is logarithmic if the distribution is.

    Args:
        name: The hyperparameter's name in the study.
        trials: The trials to place; at least one has the hyperparameter.
        seen: The values that are shown. Some distributions hold the index of a value in a grid
            instead of the value. Optuna's value is shown for a trial that is not in here.
    """
    having = [trial for trial in trials if name in trial.params]
    values = {trial.number: _seen_value(name, trial, seen) for trial in having}
    distributions = [trial.distributions[name] for trial in having]
    if isinstance(distributions[0], CategoricalDistribution):
        return _axis_of_choices(name, values, _all_choices(distributions))
    if all(_equal(values[trial.number], trial.params[name]) for trial in having):
        return _axis_of_numbers(name, values, distributions)
    if isinstance(distributions[0], IntDistribution):
        return _axis_of_choices(name, values, sorted(values.values()))
    shown = FloatDistribution(min(values.values()), max(values.values()))
    return _axis_of_numbers(name, values, [shown])


def _seen_value(name: str, trial: FrozenTrial, seen: SeenValues) -> Any:
    """Return a trial's value. In the study, conditions follow the name in brackets."""
    values = seen.get(trial.number, {})
    if name in values:
        return values[name]
    return values.get(name.partition("[")[0], trial.params[name])


def _equal(value: Any, other: Any) -> bool:
    """Return whether two values are equal but for rounding, which KerasTuner does in grids."""
    return value == other or math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-12)


def _all_choices(distributions: Sequence[Any]) -> list[Any]:
    return [choice for distribution in distributions for choice in distribution.choices]


def _axis_of_choices(name: str, values: Mapping[int, Any], choices: Sequence[Any]) -> ParameterAxis:
    """Return an axis of evenly spaced choices, in their order."""
    # By their text: as keys, True and 1 would be the same.
    by_text = {str(choice): choice for choice in [*choices, *values.values()]}
    position = {text: (index + 0.5) / len(by_text) for index, text in enumerate(by_text)}
    step = math.ceil(len(by_text) / MAX_CHOICE_TICKS)
    ticks = [(position[text], _label(by_text[text])) for text in list(by_text)[::step]]
    positions = {number: position[str(value)] for number, value in values.items()}
    return ParameterAxis(name, positions, ticks, discrete=True)


def _axis_of_numbers(
    name: str, values: Mapping[int, float], distributions: Sequence[Any]
) -> ParameterAxis:
    low = min(distribution.low for distribution in distributions)
    high = max(distribution.high for distribution in distributions)
    log = distributions[0].log

    def position(value: float) -> float:
        if low == high:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return float((value - low) / (high - low))

    integer = isinstance(distributions[0], IntDistribution)
    step = distributions[0].step
    if step and (high - low) / step < MAX_TICKS:
        ticks = [low + step * index for index in range(round((high - low) / step) + 1)]
    else:
        ticks = _round_numbers(low, high, log, integer)
    positions = {number: position(value) for number, value in values.items()}
    return ParameterAxis(
        name,
        positions,
        ticks=[(position(tick), f"{tick:g}") for tick in ticks],
        discrete=len(set(positions.values())) <= len(positions) / 3,
    )


def _round_numbers(low: float, high: float, log: bool, integer: bool) -> list[float]:
    """Return a few round numbers from `low` to `high`, or these two if there are none."""
    if low == high:
        return [low]
    locators: list[Locator] = [MaxNLocator(nbins=MAX_TICKS - 1, integer=integer)]
    if log:
        by_fives = LogLocator(subs=(1.0, 2.0, 5.0), numticks=99)
        by_threes = LogLocator(subs=(1.0, 3.0), numticks=99)
        by_tens = LogLocator(numticks=MAX_TICKS)
        locators = [by_fives, by_threes, by_tens, *locators]
    slack = 1e-9 * (low if log else high - low)
    for locator in locators:
        found = [float(tick) for tick in locator.tick_values(low, high)]
        found = [tick for tick in found if low - slack <= tick <= high + slack]
        if 2 <= len(found) <= MAX_TICKS:
            return found
    return [low, high]


def _label(choice: Any) -> str:
    text = f"{choice:g}" if isinstance(choice, float) else str(choice)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
