"""Screening: many configurations are looked at briefly, and the best of them tried in full.

Asynchronous successive halving (L. Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020) with one rung: whenever a worker is free, the best of those looked at that has
not gone on yet does, if it is among the best `1 / one_of`, and else another one is looked at.
Optuna's `SuccessiveHalvingPruner` never goes back to a trial that it stopped, so it judges each by
the few that came before.

A configuration that goes on begins anew as a trial of its own, which costs it the look once more:
so a trial is never both ended and waiting, and a search that is killed has nothing to mend.
"""

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.study import StudyDirection

from mnist_cnn.experiment import Screen

# Attributes of a trial that was looked at: its values, as the space saw them; and of one that is
# not to be screened: the number of the trial in which it was, or "baseline".
LOOKED_AT, IN_FULL = "looked_at", "in_full"


def ends(screen: Screen | None, trial: optuna.Trial, epoch: int) -> bool:
    """Whether `epoch` is the last one of a look at the trial."""
    return screen is not None and epoch >= screen.epochs and IN_FULL not in trial.user_attrs


def enqueue_in_full(study: optuna.Study, values: Mapping[str, Any], of: int | str) -> None:
    """Queue a configuration that is not to be screened."""
    study.enqueue_trial(dict(values), user_attrs={IN_FULL: of})


def enqueue_next(study: optuna.Study, screen: Screen) -> None:
    """Queue the best configuration that was looked at, if one may go on now."""
    trials = study.get_trials(deepcopy=False)
    gone_on = {trial.user_attrs.get(IN_FULL) for trial in trials}
    scores = {
        trial.number: trial.intermediate_values.get(screen.epochs, math.nan)
        for trial in trials
        if LOOKED_AT in trial.user_attrs and trial.state.is_finished()
    }
    ranked = sorted(
        (number for number, score in scores.items() if math.isfinite(score)),
        key=scores.__getitem__,
        reverse=study.direction == StudyDirection.MAXIMIZE,
    )
    for number in ranked[: len(ranked) // screen.one_of]:
        if number not in gone_on:
            enqueue_in_full(study, trials[number].user_attrs[LOOKED_AT], number)
            return
