"""How a trial ended: written to its journal first, told to Optuna second.

In this order a kill in between is mended by telling again.
"""

import math

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from mnist_cnn.optuna_internals import trial_id
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal

# MLflow's word for how a run ended, by Optuna's for how its trial did.
RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def write_end(
    journal: Journal,
    state: str,
    *,
    reason: str = "",
    values: list[float] | None = None,
    summary: dict[str, float] | None = None,
) -> None:
    """Write a trial's end into its journal.

    Args:
        journal: Of the trial's run.
        state: Optuna's COMPLETE, PRUNED or FAIL.
        reason: Why it was pruned or failed.
        values: Of the objectives, if it is complete.
        summary: What its training came to.
    """
    own_tags = {tags.STATE: state}
    if reason:
        own_tags[tags.REASON] = reason
    journal.write(
        "end",
        status=RUN_STATUS[state],
        tags=own_tags,
        reason=reason,
        values=values,
        step=journal.last_step,
        metrics=summary or {},
    )


def tell_optuna(storage: BaseStorage, study: optuna.Study, number: int, journal: Journal) -> None:
    """Tell the study how the trial ended according to its journal."""
    end = journal.last
    assert end is not None and end["event"] == "end"
    if end["reason"]:
        trial = trial_id(storage, study.study_name, number)
        storage.set_trial_user_attr(trial, "reason", end["reason"])
    study.tell(number, end["values"], state=TrialState[end["tags"][tags.STATE]])


def objective_value(summary: dict[str, float], metric: str) -> float:
    """Return an objective's value in a summary: of the saved model, or of what the run cost.

    It is NaN if the summary has neither.
    """
    return summary.get(f"best_{metric}", summary.get(metric, math.nan))
