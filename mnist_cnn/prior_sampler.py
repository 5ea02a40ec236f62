"""A sampler that varies the best configurations so far, beginning with the baselines.

The idea is PriorBand's (N. Mallik et al., "PriorBand: Practical Hyperparameter Optimization in the
Age of Deep Learning", NeurIPS 2023): sample at random, around the configuration that an expert
believes in, and around the best so far; and trust the expert as long as the evidence allows. Here a
baseline is among the parents until it has been compared and is no longer among the best.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.objectives import keeps_constraints
from mnist_cnn.optuna_internals import contains
from mnist_cnn.study.chains import rung_of
from mnist_cnn.study.screening import last_value
from mnist_cnn.study.study import BUILT

DRAWS = 1000  # of a changed number, until it is another one


class PriorSampler(BaseSampler):
    """Samples at random, or varies one of the best configurations.

    Args:
        seed: The seed.
        random_share: The share of configurations that are sampled at random, in [0, 1].
        parents: The share of all configurations that are varied: the best ones, in (0, 1].
        changed: The probability with which a parameter is changed, in (0, 1]. One of them, drawn at
            random, is always changed, so that the best configurations are not sampled again.
        width: The standard deviation of a changed number, as a share of its range. A parameter
            with a logarithmic range is changed on that scale. A changed category is any other one.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        random_share: float = 1 / 5,
        parents: float = 1 / 6,
        changed: float = 0.1,
        width: float = 0.2,
    ) -> None:
        self._random = RandomSampler(seed)
        self._rng = np.random.default_rng(seed)
        self._random_share, self._parents = random_share, parents
        self._changed, self._width = changed, width
        self._parent: dict[str, Any] = {}
        self._always_changed = ""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._parent, self._always_changed = {}, ""
        best = _best(study, self._parents)
        if best and self._rng.random() >= self._random_share:
            self._parent = best[int(self._rng.integers(len(best)))].params
        if self._parent:
            self._always_changed = str(self._rng.choice(list(self._parent)))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        old: Any = self._parent.get(param_name)  # which may be None, as a choice
        if param_name not in self._parent or not contains(param_distribution, old):
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        changes = param_name == self._always_changed or self._rng.random() < self._changed
        if not changes or param_distribution.single():
            return old
        if isinstance(param_distribution, IntDistribution | FloatDistribution):
            return self._near(old, param_distribution)
        assert isinstance(param_distribution, CategoricalDistribution)
        return self._other(old, param_distribution)

    def _near(self, old: float, of: IntDistribution | FloatDistribution) -> float:
        """Return another number near `old`, of a normal distribution cut off at the range.

        It is `old` if the steps of the range are so much wider that no other one is found.
        """
        to, back = (math.log, math.exp) if of.log else (float, float)
        low, high = to(of.low), to(of.high)
        for _ in range(DRAWS):
            new = to(old) + self._rng.normal(0, self._width * (high - low))
            if low <= new <= high and (value := self._rounded(back(new), of)) != old:
                return value
        return old

    def _rounded(self, value: float, of: IntDistribution | FloatDistribution) -> float:
        """Return the value of a distribution that is nearest to `value`."""
        if of.step is not None and not of.log:
            value = of.low + of.step * round((value - of.low) / of.step)
        value = min(max(value, of.low), of.high)
        return round(value) if isinstance(of, IntDistribution) else float(value)

    def _other(self, old: Any, of: CategoricalDistribution) -> Any:
        places = len(of.choices)
        place = int(of.to_internal_repr(old)) + int(self._rng.integers(1, places))
        return of.choices[place % places]


def _best(study: optuna.Study, share: float) -> Sequence[FrozenTrial]:
    """Return the best share of the configurations, and the believed ones that still run.

    These are the baselines, and the best configurations of an earlier study. While the model of one
    is being built, it has only some of its parameters: the others would be sampled at random.
    """
    trials = study.get_trials(deepcopy=False)
    unknown = [t for t in trials if BUILT in t.user_attrs and not t.state.is_finished()]
    if len(study.directions) > 1:
        return unknown + study.best_trials
    compared = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    known = [t for t in compared if math.isfinite(_value(t)) and keeps_constraints(t)]
    maximize = study.directions[0] == StudyDirection.MAXIMIZE
    known.sort(key=_value, reverse=maximize)
    known.sort(key=rung_of, reverse=True)  # the sort is stable: within a rung, the best come first
    return unknown + known[: math.ceil(share * len(known))]


def _value(trial: FrozenTrial) -> float:
    """Return the value that a trial ended with, or else its last one; NaN if there is none."""
    return float(trial.values[0]) if trial.values else last_value(trial)
