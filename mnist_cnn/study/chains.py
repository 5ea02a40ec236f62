"""Chains of trials: a configuration is trained by one trial, or by several that continue another.

With rungs, the trial that continues a stopped one has the same seed and takes over its checkpoint.
So no trial is both finished and waiting, and a kill leaves nothing to repair. A trial whose worker
could not be reached is continued likewise.
"""

import copy
from collections.abc import Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

# Attributes of a trial that continues another one: the number of that one, the number of the first
# in the chain, whose seed all share, and the index of the rung at which this one stops.
CONTINUES, FIRST, RUNG = "continues", "first", "rung"
# The attribute of a trial that failed before training, because another one has the same
# configuration: the number of that one.
REPEATS = "repeats"
# The reason of a failed trial whose worker could not be reached, so it may still have been running.
# The trial that continues it has its values, seed and checkpoint.
LOST = "lost"


def rung_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the index of the rung at which a trial stops, from 0; one more for the last epoch."""
    return int(trial.user_attrs.get(RUNG, 0))


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
    shown.params, shown.distributions = last.params, last.distributions  # a lost one may have few
    shown.intermediate_values = last.intermediate_values
    shown.user_attrs = {**first.user_attrs, **last.user_attrs}
    # Constraints on what is measured after the training are only checked at the end of the last.
    shown.system_attrs = dict(first.system_attrs)
    for name, violation in last.constraints.items():
        if name not in first.constraints:
            shown.set_constraint(name, violation)
    return shown


def as_continuation(trial: FrozenTrial, rung: int) -> dict[str, int]:
    """Return the attributes of a trial that continues another one, towards a rung."""
    return {CONTINUES: trial.number, FIRST: first_of(trial), RUNG: rung}
