"""What a HyperModel's own `fit` returns: in KerasTuner that is the trial's score."""

from collections.abc import Mapping
from numbers import Real
from statistics import fmean
from typing import Any

import keras

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Objective


def metrics_of(returned: Any, objective: Objective) -> dict[str, float]:
    """Return the metrics that a `fit` returned, as KerasTuner 1.4.8 reads them.

    Args:
        returned: A number, which is the objective's; metrics by name; a History, whose best epoch
            counts; a list of these, which is averaged; or None.
        objective: Names the metric that counts.

    Returns:
        Metrics by name. They are empty if the `fit` returned None, or a History without the
        objective.

    Raises:
        UserError: It is anything else, or metrics without the objective.
    """
    if returned is None:
        return {}
    if isinstance(returned, Real):
        return {objective.metric: float(returned)}
    if isinstance(returned, keras.callbacks.History):
        return _best_epoch(returned.history, objective)
    if isinstance(returned, Mapping):
        if objective.metric not in returned:
            raise UserError(
                f"the HyperModel's fit returned {', '.join(map(str, returned)) or 'no metric'}, "
                f"without the objective {objective.metric!r}"
            )
        return {str(name): float(value) for name, value in returned.items()}
    if isinstance(returned, list | tuple) and returned:
        found = [metrics_of(part, objective) for part in returned]
        common = set.intersection(*map(set, found))
        return {name: fmean(part[name] for part in found) for name in sorted(common)}
    raise UserError(
        f"the HyperModel's fit returned {type(returned).__name__}; valid: a number, a dictionary "
        f"with {objective.metric!r}, a History, a list of these, or nothing"
    )


def _best_epoch(history: Mapping[str, list[float]], objective: Objective) -> dict[str, float]:
    values = history.get(objective.metric, [])
    if not values:
        return {}
    best = min(range(len(values)), key=lambda epoch: objective.rank_key(values[epoch]))
    return {name: float(found[best]) for name, found in history.items() if len(found) > best}
