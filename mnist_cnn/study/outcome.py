"""How a trial ended: written to its journal first, told to Optuna second.

In this order a kill in between is mended by telling again.
"""

import math
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from mnist_cnn.tracking.journal import Journal

# MLflow's word for how a run ended, by Optuna's for how its trial did.
RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def tell(study: optuna.Study, number: int, journal: Journal) -> None:
    """Tell the study how the trial ended according to its journal."""
    end = journal.last
    assert end is not None and end["event"] == "end"
    trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    if end["reason"]:
        study._storage.set_trial_user_attr(trial_id, "reason", end["reason"])
    study.tell(number, end["values"], state=TrialState[end["tags"]["optuna.state"]])


@dataclass(frozen=True)
class Replayed:
    """What a repeated training came to.

    recipe: what it depended on, to hold against the recorded one.
    history: the metrics of each epoch; weights: the best weights' SHA-256.
    """

    recipe: dict[str, Any]
    history: list[dict[str, float]]
    weights: str


def objective_value(summary: dict[str, float], metric: str) -> float:
    """An objective's value in a run's summary: of the saved model, or of what the run cost."""
    return summary.get(f"best_{metric}", summary.get(metric, math.nan))


def end(
    journal: Journal,
    state: str,
    *,
    reason: str = "",
    values: list[float] | None = None,
    summary: dict[str, float] | None = None,
) -> None:
    """Write a trial's end into its journal."""
    journal.write(
        "end",
        status=RUN_STATUS[state],
        tags={"optuna.state": state} | ({"reason": reason} if reason else {}),
        reason=reason,
        values=values,
        step=journal.last_step,
        metrics=summary or {},
    )
