"""A HyperModel's own `fit`: how it is called, and its return value as the trial's score."""

import inspect
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Real
from statistics import fmean
from typing import Any, Literal

import keras
import keras_tuner

from mnist_cnn.errors import UserError
from mnist_cnn.objectives import Objective
from mnist_cnn.training.callbacks import StopLoop
from mnist_cnn.training.checkpoint import BeganAgain
from mnist_cnn.training.data import Data


def refuse_to_resume(model: keras.Model, finished: bool) -> None:
    """Refuse a run that its own `fit` cannot resume from its checkpoint.

    Args:
        model: The restored model.
        finished: Whether the checkpoint leaves no epoch to train.

    Raises:
        BeganAgain: The run has to start over.
    """
    if finished:
        raise BeganAgain("its own fit has not returned yet")
    if not model.compiled:
        raise BeganAgain("its own fit has an optimizer of its own")


def call_own_fit(
    space: Any,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    data: Data,
    given: Mapping[str, Any],
) -> Any:
    """Call the `fit` of a space with the arrays, and return what it returns.

    Args:
        space: The HyperModel.
        hp: The hyperparameters, of which it may declare more.
        model: The model.
        data: The images.
        given: Keyword arguments as for Keras's `fit`. It gets those that it accepts.
    """
    train, validation = data.in_memory
    given = {**given, "validation_data": (validation.x, validation.y)}
    parameters = inspect.signature(space.fit).parameters.values()
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        names = {parameter.name for parameter in parameters}
        given = {name: value for name, value in given.items() if name in names}
    with suppress(StopLoop):
        return space.fit(hp, model, train.x, train.y, **given)
    return None


def metrics_of(
    returned: Any, objectives: Sequence[Objective], keep: Literal["best", "last"]
) -> dict[str, float]:
    """Return the metrics that a `fit` returned, read as KerasTuner 1.4.8 does.

    Args:
        returned: A number, which is the value of a single objective; metrics by name; a History; a
            list of these, which is averaged; or None.
        objectives: The objectives of the experiment. Metrics must include the first.
        keep: Which epoch of a History counts. KerasTuner takes the best.

    Returns:
        Metrics by name. Empty if `fit` returned None, or a History without the objective.

    Raises:
        UserError: `fit` returned anything else, or metrics without the first objective.
    """
    metric = objectives[0].metric
    if returned is None:
        return {}
    if isinstance(returned, Real):
        if len(objectives) > 1:
            names = ", ".join(repr(objective.metric) for objective in objectives)
            raise UserError(
                f"the HyperModel's fit returned a number; with {len(objectives)} objectives it "
                f"must return a dictionary with {names}"
            )
        return {metric: float(returned)}
    if isinstance(returned, keras.callbacks.History):
        return _epoch_of(returned.history, objectives[0], keep)
    if isinstance(returned, Mapping):
        if metric not in returned:
            raise UserError(
                f"the HyperModel's fit returned {', '.join(map(str, returned)) or 'no metric'}, "
                f"without the objective {metric!r}"
            )
        return {str(name): _number(name, value) for name, value in returned.items()}
    if isinstance(returned, list | tuple) and returned:
        return _average([metrics_of(part, objectives, keep) for part in returned])
    raise UserError(
        f"the HyperModel's fit returned {type(returned).__name__}; valid: a number, a dictionary "
        f"with {metric!r}, a History, a list of these, or nothing"
    )


def _number(name: Any, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(
            f"the HyperModel's fit returned {type(value).__name__} as {name!r}; valid: a number"
        ) from None


def _average(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over the results that have it."""
    names = dict.fromkeys(name for metrics in found for name in metrics)
    return {name: fmean(part[name] for part in found if name in part) for name in names}


def _epoch_of(
    history: Mapping[str, list[float]], objective: Objective, keep: Literal["best", "last"]
) -> dict[str, float]:
    values = history.get(objective.metric, [])
    if not values:
        return {}
    epoch = len(values) - 1
    if keep == "best":
        epoch = min(range(len(values)), key=lambda each: _rank(objective, values[each]))
    # Another length is that of other epochs: with `validation_freq`, not all are validated.
    same = {name: found for name, found in history.items() if len(found) == len(values)}
    return {name: float(found[epoch]) for name, found in same.items()}


def _rank(objective: Objective, value: float) -> tuple[bool, float]:
    """Return a sort key by which the best value comes first, and NaN last."""
    return math.isnan(value), objective.rank_key(value)
