"""Screening: many configurations are looked at briefly, and the best of them tried in full.

Asynchronous successive halving (L. Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020) with one rung: whenever a worker is free, the best of those looked at that has
not gone on yet does, if it is among the best `1 / one_of`, and else another one is looked at.
Optuna's `SuccessiveHalvingPruner` never goes back to a trial that it stopped, so it judges each by
the few that came before; benchmarks/searchers.py compares them.

A configuration goes on as a trial of its own, so that none is both ended and waiting and a search
that is killed has nothing to mend. It has its look's seed and takes over its look's checkpoint.
Where that is no more, is of another kind of machine, or the space has a `fit` of its own, the
training begins anew.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen

# Attributes of a trial that was looked at: its values, as the space saw them; and of one that is
# not to be screened: the number of the trial in which it was, or "baseline".
LOOKED_AT, IN_FULL = "looked_at", "in_full"


def ends(screen: Screen | None, trial: optuna.Trial, epoch: int) -> bool:
    """Whether `epoch` is the last one of a look at the trial."""
    return screen is not None and epoch >= screen.epochs and IN_FULL not in trial.user_attrs


def enqueue_unscreened(study: optuna.Study, values: Mapping[str, Any], of: int | str) -> None:
    """Queue a configuration that is not to be screened."""
    study.enqueue_trial(dict(values), user_attrs={IN_FULL: of})


def checkpoint_source(trial: optuna.Trial | FrozenTrial) -> int:
    """The number of the trial whose training this one goes on with: its look's, or its own."""
    of = trial.user_attrs.get(IN_FULL)
    return of if isinstance(of, int) else trial.number


def enqueue_next(study: optuna.Study, screen: Screen) -> None:
    """Queue the best configuration that was looked at, if one may go on now.

    What waits in the queue already, as after an interruption, comes first.
    """
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.WAITING for trial in trials):
        return
    gone_on = {trial.user_attrs.get(IN_FULL) for trial in trials}
    looks = _best_looks(study, trials, screen)
    for number in looks[: len(looks) // screen.one_of]:
        if number not in gone_on:
            enqueue_unscreened(study, trials[number].user_attrs[LOOKED_AT], number)
            return


def unused(study: optuna.Study, screen: Screen) -> list[int]:
    """The trials that were looked at and not yet tried in full to the end, the best first."""
    trials = study.get_trials(deepcopy=False)
    used = {trial.user_attrs.get(IN_FULL) for trial in trials if trial.state.is_finished()}
    return [number for number in _best_looks(study, trials, screen) if number not in used]


def _best_looks(study: optuna.Study, trials: Sequence[FrozenTrial], screen: Screen) -> list[int]:
    scores = {
        trial.number: trial.intermediate_values.get(screen.epochs, math.nan)
        for trial in trials
        if LOOKED_AT in trial.user_attrs and trial.state.is_finished()
    }
    return sorted(
        (number for number, score in scores.items() if math.isfinite(score)),
        key=scores.__getitem__,
        reverse=study.directions[0] == StudyDirection.MAXIMIZE,
    )
