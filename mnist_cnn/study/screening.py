"""Screening: successive halving over epochs.

This is asynchronous successive halving (L. Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020). A new configuration is trained up to the first rung and stops
there. When a worker is idle, the best stopped trial that may be continued is continued up to the
next rung, the highest rung first. It may be continued if it is among the best `1 / one_of` of all
trials that have reached its rung. Otherwise the worker begins another configuration. Above the
first rung the share is rounded up, so the best trial so far completes early, and others follow it.

A large network often has the better value after as many epochs, but a small one could have trained
for longer in the same time. So trials are compared at equal cost, see `_worth`.

Optuna's `SuccessiveHalvingPruner` never returns to a trial that it stopped, so it compares each
trial with the few before it.

A trial is continued as a new trial, see `chains`. No epoch is trained twice unless the checkpoint
is gone, comes from a different kind of machine, or the space has its own `fit`.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen
from mnist_cnn.study.chains import as_continuation, continued, first_of, rung_of, superseded

# Attributes of a trial that stopped at a rung: its values, as the search space saw them, and the
# multiply-accumulates of its model for an image, if they are known. Unlike its seconds, they do not
# depend on the machine, so a search with one worker can be repeated.
STOPPED, COST = "stopped", "cost"


def last_epoch(screen: Screen | None, trial: optuna.Trial | FrozenTrial, epochs: int) -> int:
    """Return the epoch with which a trial ends: that of its rung, or `epochs`."""
    rungs = screen.rungs if screen else ()
    return (*rungs, epochs)[rung_of(trial)]


def epochs_before(screen: Screen | None, trial: optuna.Trial | FrozenTrial) -> int:
    """Return how many epochs the trials have trained that this one continues."""
    rungs = screen.rungs if screen else ()
    return (0, *rungs)[rung_of(trial)]


def enqueue_next(
    study: optuna.Study,
    screen: Screen,
    *,
    fits: Callable[[FrozenTrial], bool] = lambda trial: True,
    anyway: bool = False,
) -> bool:
    """Enqueue the continuation of the best stopped trial, if one may be continued now.

    Trials that are already in the queue, such as after an interruption, come first.

    Args:
        study: The study.
        screen: The screening of its experiment.
        fits: Returns whether there is time to train a stopped trial to its last epoch.
        anyway: Whether the best trial of the highest rung is continued even if it is not among the
            best `1 / one_of`, since no other configuration will follow.

    Returns:
        Whether a trial is in the queue.
    """
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.WAITING for trial in trials):
        return True
    taken = {continued(trial) for trial in trials}
    reached = [_best_at(study, screen, trials, rung) for rung in range(len(screen.rungs))]
    good = [best[: _quota(screen, rung, len(best))] for rung, best in enumerate(reached)]
    for choice in [good, reached] if anyway else [good]:
        for rung, best in reversed(list(enumerate(choice))):
            for trial in best:
                if trial.number not in taken and fits(trial):
                    _enqueue_continuation(study, trial, rung + 1)
                    return True
    return False


def _quota(screen: Screen, rung: int, reached: int) -> int:
    """Return how many of the trials that have reached a rung may be continued."""
    share = reached / screen.one_of
    return math.floor(share) if rung == 0 else math.ceil(share)


def _enqueue_continuation(study: optuna.Study, trial: FrozenTrial, rung: int) -> None:
    values = dict(trial.user_attrs[STOPPED])
    study.enqueue_trial(values, user_attrs=as_continuation(trial, rung))


def unused(study: optuna.Study, screen: Screen) -> list[list[int]]:
    """Return the numbers of the stopped trials whose continuation has not ended.

    Returns:
        A list for each rung, best first.
    """
    trials = study.get_trials(deepcopy=False)
    past = superseded(trials)
    return [
        [each.number for each in _best_at(study, screen, trials, rung) if each.number not in past]
        for rung in range(len(screen.rungs))
    ]


def _best_at(
    study: optuna.Study, screen: Screen, trials: Sequence[FrozenTrial], rung: int
) -> list[FrozenTrial]:
    """Return the trials that stopped at a rung with a finite value, best at equal cost first."""
    stopped = [
        trial
        for trial in trials
        if trial.state.is_finished()
        and STOPPED in trial.user_attrs
        and rung_of(trial) == rung
        and math.isfinite(last_value(trial))
    ]
    maximize = study.directions[0] == StudyDirection.MAXIMIZE
    gain = _gain_of_doubling(screen, trials, rung)
    gain = max(gain, 0.0) if maximize else min(gain, 0.0)
    costs = [trial.user_attrs[COST] for trial in stopped if trial.user_attrs.get(COST)]
    usual = median(costs) if costs else 0.0
    return sorted(stopped, key=lambda trial: _worth(trial, gain, usual), reverse=maximize)


def _worth(trial: FrozenTrial, gain: float, usual: float) -> float:
    """Return the last value of a trial, as if it had cost no more than usual.

    If an epoch costs twice as much as usual, others could have trained for twice as many. So the
    trial loses what a doubling of the epochs gains. One that costs less than usual wins nothing,
    since the smallest networks learn little from more epochs.

    Args:
        trial: A trial that stopped at a rung.
        gain: The change of the value when the epochs double.
        usual: The usual cost at this rung, or 0 if it is unknown.
    """
    cost = trial.user_attrs.get(COST)
    if not cost or not usual:
        return last_value(trial)
    return last_value(trial) - gain * max(0.0, math.log2(cost / usual))


def _gain_of_doubling(screen: Screen, trials: Sequence[FrozenTrial], rung: int) -> float:
    """Return how the value changes when epochs double beyond a rung; 0 if no trial shows it yet.

    This is the median over the trials that were continued from the rung, also after a lost one.
    """
    stopped = {
        first_of(trial): trial
        for trial in trials
        if STOPPED in trial.user_attrs and rung_of(trial) == rung
    }
    gains = []
    for trial in trials:
        earlier = stopped.get(first_of(trial))
        if earlier is None or rung_of(trial) != rung + 1 or not trial.intermediate_values:
            continue
        doublings = math.log2(max(trial.intermediate_values) / screen.rungs[rung])
        change = last_value(trial) - last_value(earlier)
        if doublings > 0 and math.isfinite(change):
            gains.append(change / doublings)
    return median(gains) if gains else 0.0


def last_value(trial: FrozenTrial) -> float:
    """Return the last value that a trial reported; NaN if there is none."""
    values = trial.intermediate_values
    return values[max(values)] if values else math.nan
