"""How a trial ended, as its journal says it."""

import math
from typing import Any

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
    **more: Any,
) -> None:
    """Write a trial's end into its journal.

    Args:
        journal: Of the trial's run.
        state: Optuna's COMPLETE, PRUNED or FAIL.
        reason: Why it was pruned or failed.
        values: Of the objectives, if it is complete.
        summary: What its training came to.
        more: `stop`, the kind of its stop, and `model`, the digest of its model, where there are.
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
        **more,
    )


def objective_value(summary: dict[str, float], metric: str) -> float:
    """Return an objective's value in a summary: of the saved model, or of what the run cost.

    It is NaN if the summary has neither.
    """
    return summary.get(f"best_{metric}", summary.get(metric, math.nan))
