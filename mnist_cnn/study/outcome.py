"""How a trial ended, as it is recorded in its journal."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal

# The status of a run in MLflow, by the state of its trial in Optuna.
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
    """Write the end of a trial to its journal.

    Args:
        journal: The journal of the trial's run.
        state: `COMPLETE`, `PRUNED` or `FAIL`, as in Optuna.
        reason: Why the trial was pruned or failed.
        values: The values of the objectives if the trial is complete.
        summary: The metrics of the whole run.
        more: `stop`, the kind of its `Stop`; `model`, the digest of its model file; `repeats`, the
            number of the trial that it repeats. Each may be None or missing.
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


def summary_of(folder: Path) -> dict[str, float]:
    """Return the metrics of a whole run; none if it has not ended."""
    end: dict[str, Any] = Journal(folder).end or {}
    return dict(end.get("metrics", {}))


def objective_value(summary: Mapping[str, float], metric: str) -> float:
    """Return the value of an objective: the saved model's metric, or a cost of the run.

    Args:
        summary: The metrics of a whole run.
        metric: The metric of the objective.

    Returns:
        The value, or NaN if the summary does not have it.
    """
    return summary.get(f"best_{metric}", summary.get(metric, math.nan))
