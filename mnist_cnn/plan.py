"""What the search process knows of an experiment: plain values, so that it needs no Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnist_cnn.experiment import Confirm, Experiment, Objective, Screen
from mnist_cnn.fingerprint import describe, fingerprint


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the search process has to know of an experiment: plain values only.

    Attributes:
        baselines: The configurations of the first trials.
        description: Each field of the experiment as text.
        fingerprint: Equal for experiments whose trials can be compared.
        unserved: Why its models can be searched and not served; "" if they can be.
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
    unserved: str = ""


def plan(name: str, experiment: Experiment) -> Plan:
    """Return the plan of the experiment called `name`."""
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
    """Return the configurations of the experiment's first trials."""
    given = experiment.baseline
    return (dict(given),) if isinstance(given, Mapping) else tuple(map(dict, given))
