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

A trial is continued as a new trial with the same seed, which takes over the checkpoint. So no trial
is both finished and waiting, and a kill leaves nothing to repair. No epoch is trained twice unless
the checkpoint is gone, comes from a different kind of machine, or the space has its own `fit`.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen

# Attributes of a trial that continues another one: the number of that one, the number of the first
# in the chain, whose seed all share, and the index of the rung at which this one stops.
CONTINUES, FIRST, RUNG = "continues", "first", "rung"
# Attributes of a trial that stopped at a rung: its values, as the search space saw them, and the
# multiply-accumulates of its model for an image, if they are known. Unlike its seconds, they do not
# depend on the machine, so a search with one worker can be repeated.
STOPPED, COST = "stopped", "cost"
# The attribute of a trial that failed before training, because another one has the same
# configuration: the number of that one.
REPEATS = "repeats"
# The reason of a failed trial whose worker could not be reached, so it may still have been running.
# The trial that continues it has its values, seed and checkpoint.
LOST = "lost"


def rung_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the index of the rung at which a trial stops, from 0; one more for the last epoch."""
    return int(trial.user_attrs.get(RUNG, 0))


def last_epoch(screen: Screen | None, trial: optuna.Trial | FrozenTrial, epochs: int) -> int:
    """Return the epoch with which a trial ends: that of its rung, or `epochs`."""
    rungs = screen.rungs if screen else ()
    return (*rungs, epochs)[rung_of(trial)]


def epochs_before(screen: Screen | None, trial: optuna.Trial | FrozenTrial) -> int:
    """Return how many epochs the trials have trained that this one continues."""
    rungs = screen.rungs if screen else ()
    return (0, *rungs)[rung_of(trial)]


def first_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number of the configuration's first trial: another one's, or its own."""
    return int(trial.user_attrs.get(FIRST, trial.number))


def continued(trial: optuna.Trial | FrozenTrial) -> int | None:
    """Return the number of the trial that this one continues; None for a new configuration."""
    number = trial.user_attrs.get(CONTINUES)
    return None if number is None else int(number)


def tried(trials: Iterable[FrozenTrial]) -> int:
    """Return how many configurations there are among trials. Those that continue one count once."""
    return sum(continued(trial) is None and REPEATS not in trial.user_attrs for trial in trials)


def is_lost(trial: FrozenTrial) -> bool:
    """Return whether a trial's worker could not be reached, see `LOST`."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get("reason") == LOST


def before(trials: Sequence[FrozenTrial], trial: optuna.Trial | FrozenTrial) -> list[FrozenTrial]:
    """Return the trials whose checkpoint a trial may resume from, the nearest first.

    These are the one that it continues and, if that was lost, also what that continued: the last
    checkpoint of a lost trial may not have arrived.

    Args:
        trials: The study's trials that have ended, or all.
        trial: The trial.
    """
    found: list[FrozenTrial] = []
    number = continued(trial)
    known = {} if number is None else {each.number: each for each in trials}
    while number is not None:
        found.append(known[number])
        number = continued(known[number]) if is_lost(known[number]) else None
    return found


def superseded(trials: Sequence[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials whose continuation has ended, unless that was lost."""
    lost = [trial for trial in trials if is_lost(trial)]
    found = set()
    for trial in trials:
        number = continued(trial)
        if number is None or not trial.state.is_finished() or is_lost(trial):
            continue
        found.add(number)
        if lost:
            found |= {earlier.number for earlier in before(trials, trial)}
    return found


def configurations(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return one trial for each configuration: its first, with the outcome of its last so far.

    The first has the attributes that its sampler stored, which samplers look for in ended trials.
    """
    last = {
        first_of(trial): trial
        for trial in trials
        if continued(trial) is not None and trial.state.is_finished() and not is_lost(trial)
    }
    return [
        _with_outcome(trial, last[trial.number]) if trial.number in last else trial
        for trial in trials
        if continued(trial) is None
    ]


def _with_outcome(first: FrozenTrial, last: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(first)
    shown.state, shown.values = last.state, last.values
    shown.intermediate_values = last.intermediate_values
    shown.user_attrs = {**first.user_attrs, **last.user_attrs}
    # Constraints on what is measured after the training are only checked at the end of the last.
    shown.system_attrs = dict(first.system_attrs)
    for name, violation in last.constraints.items():
        if name not in first.constraints:
            shown.set_constraint(name, violation)
    return shown


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


def as_continuation(trial: FrozenTrial, rung: int) -> dict[str, int]:
    """Return the attributes of a trial that continues another one, towards a rung."""
    return {CONTINUES: trial.number, FIRST: first_of(trial), RUNG: rung}


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
