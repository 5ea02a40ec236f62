"""The plan of an experiment: what the search process knows about it, without importing Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_cnn.experiment import Confirm, Experiment, Screen
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.objectives import Objective
from mnist_cnn.project.fingerprint import describe, fingerprint


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The facts about an experiment that the search process needs, as plain values.

    The fields that an `Experiment` has too mean the same here.

    Attributes:
        id: The identity of the experiment.
        objectives: As in `Experiment`.
        trials: As in `Experiment`.
        timeout_seconds: As in `Experiment`.
        trial_timeout_seconds: As in `Experiment`.
        epochs: As in `Experiment`.
        screen: As in `Experiment`.
        confirm: As in `Experiment`.
        baselines: The configurations of the first trials.
        warm_start: As in `Experiment`.
        description: Each field of the experiment as text.
        fingerprint: Equal for experiments whose trials are comparable.
        dataset: The name and the digest of its data set.
        parts: The parts of the data that trials use, each with its number of images.
        unserved: Why the experiment's models cannot be served; "" if they can be.
        warnings: The warnings about its data and its code.
        precision: The Keras dtype policy of its runs on this machine.
        files: The files of its data in mlruns/, which every worker reads.
    """

    id: ExperimentId
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
    warm_start: bool = True
    dataset: tuple[str, str] = ("", "")
    parts: tuple[tuple[str, int], ...] = ()
    unserved: str = ""
    warnings: tuple[str, ...] = ()
    precision: str = "float32"
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The experiment's name in MLflow and in the names of its studies."""
        return self.id.name


def plan(identity: ExperimentId, experiment: Experiment) -> Plan:
    """Return the plan of an experiment.

    Args:
        identity: The identity of the experiment.
        experiment: The experiment.
    """
    return Plan(
        id=identity,
        objectives=experiment.objectives,
        trials=experiment.trials,
        timeout_seconds=experiment.timeout_seconds,
        trial_timeout_seconds=experiment.trial_timeout_seconds,
        epochs=experiment.epochs,
        screen=experiment.screen,
        confirm=experiment.confirm,
        baselines=baselines(experiment),
        warm_start=experiment.warm_start,
        description=describe(experiment),
        fingerprint=fingerprint(experiment),
        dataset=(experiment.opened_dataset.name, experiment.opened_dataset.digest),
    )


def baselines(experiment: Experiment) -> tuple[Mapping[str, Any], ...]:
    """Return the configurations of the experiment's first trials."""
    given = experiment.baseline
    return (dict(given),) if isinstance(given, Mapping) else tuple(map(dict, given))
