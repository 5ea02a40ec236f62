"""Screening: each configuration gets a brief look, and only the best are trained in full.

This is asynchronous successive halving with one rung (L. Li et al., "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020). A look is a trial that is pruned at the rung. When a
worker is idle, the best look that was not continued yet is continued, provided that it is among the
best `1 / one_of` of all looks. Otherwise the worker looks at another configuration.

Optuna's `SuccessiveHalvingPruner` never returns to a trial that it stopped, so it compares each
trial with the few before it. benchmarks/searchers.py measures the difference.

A look is continued as a new trial with the same seed, which takes over the look's checkpoint. So no
trial is finished and waiting at once, and a kill leaves nothing to mend. The training starts over
if the checkpoint is gone, if it comes from a different kind of machine, or if the space has its own
`fit`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen

# Attributes of trials. A look has LOOKED_AT: its values, as the space saw them. A trial that is not
# screened has IN_FULL: the number of the look that it continues, or "baseline".
LOOKED_AT, IN_FULL = "looked_at", "in_full"


def ends(screen: Screen | None, trial: optuna.Trial, epoch: int) -> bool:
    """Return whether the trial is a look that ends with `epoch`, counted from 1."""
    return screen is not None and epoch >= screen.epochs and IN_FULL not in trial.user_attrs


def enqueue_unscreened(study: optuna.Study, values: Mapping[str, Any], of: int | str) -> None:
    """Enqueue a configuration that is trained in full without a look.

    Args:
        study: The study.
        values: The hyperparameters, as the space sees them.
        of: The number of the look that this trial continues, or "baseline".
    """
    study.enqueue_trial(dict(values), user_attrs={IN_FULL: of})


def checkpoint_source(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number of the trial whose training this one resumes: its look's, or its own."""
    of = trial.user_attrs.get(IN_FULL)
    return of if isinstance(of, int) else trial.number


def enqueue_next(study: optuna.Study, screen: Screen) -> None:
    """Enqueue the best look that was not continued yet, if it may be continued now.

    Trials that are already in the queue, such as after an interruption, come first.
    """
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.WAITING for trial in trials):
        return
    gone_on = {trial.user_attrs.get(IN_FULL) for trial in trials}
    looks = _best_looks(study, trials)
    for number in looks[: len(looks) // screen.one_of]:
        if number not in gone_on:
            enqueue_unscreened(study, trials[number].user_attrs[LOOKED_AT], number)
            return


def unused(study: optuna.Study) -> list[int]:
    """Return the numbers of looks whose continuation has not ended, best first."""
    trials = study.get_trials(deepcopy=False)
    used = {trial.user_attrs.get(IN_FULL) for trial in trials if trial.state.is_finished()}
    return [number for number in _best_looks(study, trials) if number not in used]


def _last_value(trial: FrozenTrial) -> float:
    """Return the value with which a look ended; NaN if there is none."""
    values = trial.intermediate_values
    return values[max(values)] if values else math.nan


def _best_looks(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[int]:
    scores = {
        trial.number: _last_value(trial)
        for trial in trials
        if LOOKED_AT in trial.user_attrs and trial.state.is_finished()
    }
    return sorted(
        (number for number, score in scores.items() if math.isfinite(score)),
        key=scores.__getitem__,
        reverse=study.directions[0] == StudyDirection.MAXIMIZE,
    )
