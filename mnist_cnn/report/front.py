"""The Pareto front of a study with several objectives: as a table, as data, and its hypervolume.

`promote` reads the data from the study's run.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from mnist_cnn.objectives import ACCURACY, Objective
from mnist_cnn.optuna_internals import hypervolume
from mnist_cnn.report.text import number
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.outcome import objective_value, summary_of
from mnist_cnn.study.study import Study, comparable

FRONT_FILE = "front.json"
HYPERVOLUME = "hypervolume"  # the metric of the study's run
# The box of the hypervolume ends a tenth beyond the worst values. If it ended at them, the points
# at the ends of the front would add nothing.
BEYOND = 1.1


def columns(study: Study) -> tuple[str, ...]:
    """Return the headers of the front's table."""
    return ("trial", *_metrics(study), "confirmed mean", "scores on fresh seeds")


def rows(study: Study, ranked: Sequence[Candidate]) -> list[tuple[str, ...]]:
    """Return a row for each point of the front, in the order of the first objective.

    Args:
        study: The study.
        ranked: Its candidates.
    """
    found = {candidate.trial.number: candidate for candidate in ranked}
    table = []
    for trial in study.front():
        scores = found[trial.number].scores if trial.number in found else ()
        mean = number(found[trial.number].score) if scores else ""
        values = map(number, trial.values)
        table.append((str(trial.number), *values, mean, ", ".join(map(number, scores))))
    return table


def as_json(study: Study, ranked: Sequence[Candidate]) -> str:
    """Return the front as `promote` reads it.

    It has the `metrics` of the objectives, and of each of the `points`: its `trial`; its `values`
    by metric, including costs and accuracy that are not objectives; `seeds`, the number of fresh
    seeds on which it was confirmed; `confirmed`, the mean accuracy over them if accuracy is the
    first objective, or null; and `run`, the folder of the run that has its model, relative to
    mlruns/checkpoints/.
    """
    points: list[dict[str, Any]] = []
    of_accuracy = study.objective.metric == ACCURACY
    on_front, metrics = {trial.number for trial in study.front()}, _metrics(study)
    for candidate in (one for one in ranked if one.trial.number in on_front):
        values = dict(zip(metrics, candidate.trial.values, strict=True))
        points.append(
            {
                "trial": candidate.trial.number,
                "values": _costs(study, candidate.trial) | values,
                "seeds": len(candidate.scores),
                "confirmed": candidate.score if candidate.scores and of_accuracy else None,
                "run": f"{study.name}/{candidate.model.parent.name}",
            }
        )
    points.sort(key=lambda point: int(point["trial"]))
    return json.dumps({"metrics": metrics, "points": points}, indent=2) + "\n"


def _metrics(study: Study) -> list[str]:
    return [objective.metric for objective in study.plan.objectives]


def _costs(study: Study, trial: FrozenTrial) -> dict[str, float]:
    """Return a model's costs and accuracy, including those that are not objectives."""
    summary = summary_of(study.trials.folder_of(trial))
    names = (ACCURACY, "parameters", "multiply_accumulates")
    found = {name: objective_value(summary, name) for name in names}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def how_to_promote(study: Study) -> str:
    """Return how to promote a point of the front; "" if there is no point to promote."""
    if len(study.plan.objectives) == 1 or study.plan.unserved:
        return ""
    command = f"make promote {study.plan.id.for_make}"
    if len(study.front()) == 1:
        return command
    choosing = "MAX_PARAMETERS=N or MIN_ACCURACY=X chooses one"
    return f"{command}  # lists the points of the front; {choosing}"


def hypervolumes(
    trials: Sequence[FrozenTrial], objectives: Sequence[Objective]
) -> list[tuple[FrozenTrial, float]]:
    """Return the hypervolume after each of the `comparable` trials, in the order of their ends.

    It is the share of a box that the front dominates, from 0 to 1. The box lies between the best
    value of each objective and a tenth of the range beyond the worst. Hypervolumes are compared
    within a study only: the box is that of its trials.

    Args:
        trials: The trials of the study.
        objectives: All of its objectives.
    """
    complete = comparable(trials)
    if not complete:
        return []
    complete.sort(key=lambda trial: trial.datetime_complete or datetime.max)
    losses = _losses(complete, objectives)
    low, high = losses.min(axis=0), losses.max(axis=0)
    losses = (losses - low) / np.where(high > low, high - low, 1.0)
    found, front = [], np.empty((0, len(objectives)))
    corner, box = np.full(len(objectives), BEYOND), BEYOND ** len(objectives)
    for trial, loss in zip(complete, losses, strict=True):
        if not (front <= loss).all(axis=1).any():  # otherwise it changes nothing
            front = np.vstack([front[(front < loss).any(axis=1)], loss])
        found.append((trial, hypervolume(front, corner) / box))
    return found


def undominated(
    trials: Sequence[FrozenTrial], objectives: Sequence[Objective]
) -> list[FrozenTrial]:
    """Return the trials to which no other is as good in every objective and better in one.

    Args:
        trials: Complete trials, see `comparable`.
        objectives: All objectives of the study.
    """
    losses = _losses(trials, objectives)
    return [
        trial
        for trial, loss in zip(trials, losses, strict=True)
        if not ((losses <= loss).all(axis=1) & (losses < loss).any(axis=1)).any()
    ]


def _losses(trials: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Return the trials' values with the signs changed so that less is better."""
    signs = np.array([objective.rank_key(1.0) for objective in objectives])
    values = np.array([trial.values for trial in trials]).reshape(-1, len(objectives))
    losses: NDArray[np.float64] = signs * values
    return losses
