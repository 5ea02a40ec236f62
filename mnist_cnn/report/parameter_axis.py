"""A hyperparameter as an axis of a picture: where on it each trial lies, and its ticks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import Locator, LogLocator, MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

Seen = Mapping[int, Mapping[str, Any]]

MAX_TICKS = 6
LABEL_LENGTH = 14


@dataclass(frozen=True)
class ParameterAxis:
    """The axis, from 0 to 1.

    places: of the trials that have the parameter, by their number.
    ticks: place and label.
    discrete: whether trials often share a place.
    """

    name: str
    places: Mapping[int, float]
    ticks: Sequence[tuple[float, str]]
    discrete: bool


def parameter_axis(name: str, trials: Sequence[FrozenTrial], seen: Seen) -> ParameterAxis:
    """The axis of the study's parameter `name`.

    It is logarithmic where the distribution is. Where the study holds the place of a value in a
    grid, not the value itself, the values are the axis's ticks.

    seen: the hyperparameters as the space saw them, by trial; Optuna's own where it has none.
    """
    having = [trial for trial in trials if name in trial.params]
    values = {trial.number: _seen(name, trial, seen) for trial in having}
    domains = [trial.distributions[name] for trial in having]
    if isinstance(domains[0], CategoricalDistribution):
        return _of_choices(name, values, [c for domain in domains for c in _choices(domain)])
    if all(_same(values[trial.number], trial.params[name]) for trial in having):
        return _of_numbers(name, values, domains)
    if isinstance(domains[0], IntDistribution):
        return _of_choices(name, values, sorted(values.values()))
    shown = FloatDistribution(min(values.values()), max(values.values()))
    return _of_numbers(name, values, [shown])


def _seen(name: str, trial: FrozenTrial, seen: Seen) -> Any:
    """A conditional parameter has its conditions in the study's name for it, in brackets."""
    values = seen.get(trial.number, {})
    return values.get(name, values.get(name.partition("[")[0], trial.params[name]))


def _same(one: Any, other: Any) -> bool:
    """KerasTuner's digits of a number in a grid are not always Optuna's."""
    return one == other or math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


def _choices(domain: Any) -> tuple[Any, ...]:
    return tuple(domain.choices)


def _of_choices(name: str, values: Mapping[int, Any], choices: Sequence[Any]) -> ParameterAxis:
    """Choices lie evenly in their order, the outer ones a little inside."""
    # By their text, because True and 1 would be one.
    order = {str(choice): choice for choice in [*choices, *values.values()]}
    place = {text: (number + 0.5) / len(order) for number, text in enumerate(order)}
    every = math.ceil(len(order) / 12)
    ticks = [(place[text], _short(order[text])) for text in list(order)[::every]]
    places = {number: place[str(value)] for number, value in values.items()}
    return ParameterAxis(name, places, ticks, discrete=True)


def _of_numbers(name: str, values: Mapping[int, float], domains: Sequence[Any]) -> ParameterAxis:
    low, high = min(domain.low for domain in domains), max(domain.high for domain in domains)
    log = domains[0].log

    def place(value: float) -> float:
        if low == high:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return float((value - low) / (high - low))

    whole = isinstance(domains[0], IntDistribution)
    step = domains[0].step
    if step and (high - low) / step < MAX_TICKS:
        round_numbers = [low + step * n for n in range(round((high - low) / step) + 1)]
    else:
        round_numbers = _ticks(low, high, log, whole)
    ticks = [(place(tick), f"{tick:g}") for tick in round_numbers]
    places = {number: place(value) for number, value in values.items()}
    return ParameterAxis(name, places, ticks, discrete=len(set(places.values())) <= len(places) / 3)


def _ticks(low: float, high: float, log: bool, whole: bool) -> list[float]:
    """A few round numbers from low to high."""
    if low == high:
        return [low]
    locators: list[Locator] = [MaxNLocator(nbins=MAX_TICKS - 1, integer=whole)]
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


def _short(choice: Any) -> str:
    text = f"{choice:g}" if isinstance(choice, float) else str(choice)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
