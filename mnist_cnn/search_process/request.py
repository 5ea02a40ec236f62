"""The user's options for a search."""

import time
from dataclasses import dataclass, field

from mnist_cnn.experiment_id import ExperimentId


@dataclass(frozen=True, kw_only=True)
class Request:
    """The user's options. None means the default of the study, experiment or machine.

    Attributes:
        experiment: The identity of the experiment.
        trials: The total number of configurations of the study.
        timeout_seconds: The time limit, from `started` on.
        study: The name of the study.
        storage: The URL of Optuna's storage.
        started: When the command began, on the clock of `time.monotonic`.
    """

    experiment: ExperimentId
    trials: int | None = None
    timeout_seconds: float | None = None
    study: str | None = None
    storage: str | None = None
    started: float = field(default_factory=time.monotonic)
