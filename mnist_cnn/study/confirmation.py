"""Confirmation: the best trials are trained again on fresh seeds before the winner is chosen.

`candidates` says why, and who wins. This module says which seed of which trial is trained next, and
how long that will take. A confirmation is a trial of a separate Optuna study, `<study>.confirm`.
"""

import heapq
from dataclasses import dataclass
from itertools import groupby
from math import inf
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.study import chains
from mnist_cnn.study.candidates import UNWANTED, beaten, candidates, key_of
from mnist_cnn.study.study import OF, SEED, Study
from mnist_cnn.study.trials import VALUES, seconds_of_epoch
from mnist_cnn.tracking.journal import read, values_of

# The time of an epoch varies by a few per cent, and building, scoring, saving and starting another
# worker take time too. If too little time is reserved, a candidate loses its last seed.
MARGIN = 1.1


@dataclass(frozen=True)
class Confirmation:
    """One run of a trial's configuration on a fresh seed.

    Attributes:
        trial: The trial that is confirmed.
        seed: The index of the fresh seed, from 0.
    """

    trial: FrozenTrial
    seed: int

    @property
    def key(self) -> tuple[int, int]:
        """The trial's number and the index of the seed, which identify the confirmation."""
        return self.trial.number, self.seed


def outstanding(study: Study) -> list[Confirmation]:
    """Return the confirmations that have not ended, of the trials that may still win.

    Each gets the planned number of seeds. Then those that may still win get one more, as long as
    there are at least two, up to `Confirm.max_seeds`. With several objectives, the points of the
    front are confirmed, each on the planned number of seeds: all of them, or as many as planned,
    spread from one end to the other.
    """
    return _outstanding(study, _field(study))


def _outstanding(study: Study, field: list[FrozenTrial]) -> list[Confirmation]:
    finished = study.confirmations.finished()
    ended = {key_of(trial) for trial in finished if not chains.is_lost(trial)}
    plan, most = study.plan.confirm, _most_seeds(study)
    # A seed whose run failed has ended too, and is not tried again.
    for seeds in range(plan.seeds, most + 1):
        planned = [Confirmation(trial, seed) for seed in range(seeds) for trial in field]
        left = [item for item in planned if item.key not in ended]
        if left or len(field) < 2:
            return left
    return []


def _field(study: Study) -> list[FrozenTrial]:
    """Return the trials that may still win, best first."""
    plan = study.plan.confirm
    if front := study.front():  # whose points do not race: each is the best of its kind
        return _spread(front, plan.trials)
    out = beaten(study, candidates(study))
    return [trial for trial in study.ranking()[: plan.trials] if trial.number not in out]


def _most_seeds(study: Study) -> int:
    """Return how many seeds a trial may get."""
    plan = study.plan.confirm
    return plan.seeds if len(study.objectives) > 1 else plan.max_seeds


def _spread(front: list[FrozenTrial], count: int) -> list[FrozenTrial]:
    """Return `count` points of the front, evenly from its first to its last."""
    if len(front) <= count or count < 2:
        return front[:count]
    return [front[round(place * (len(front) - 1) / (count - 1))] for place in range(count)]


def next_confirmation(study: Study, seconds_left: float) -> int | None:
    """Ask Optuna for the next confirmation.

    A confirmation is enqueued only when a worker is idle, because Optuna hands out the waiting
    trial with the lowest number. A confirmation that has waited since an interruption and is no
    longer wanted is failed.

    Args:
        study: The study whose trials are confirmed.
        seconds_left: The time for confirmations. The first seed of the best candidate is always
            trained, the others only if they are expected to fit.

    Returns:
        The number of the trial in `study.confirmations`, or None if there is nothing to confirm.
    """
    confirmations = study.confirmations
    field = _field(study)
    placed = {key_of(trial) for trial in confirmations.all(TrialState.RUNNING)}
    left = _outstanding(study, field)
    first = (study.ranking()[0].number, 0) if left else None
    fitting = [
        item
        for item in left
        if item.key not in placed
        and (item.key == first or seconds_of(study, item) < seconds_left)
        and _values(study, item.trial) is not None
    ]
    in_field = {trial.number for trial in field}
    ask, held_back = confirmations.optuna_study.ask, []
    try:
        # Optuna hands out the waiting trial with the lowest number, wanted or not.
        for trial in confirmations.all(TrialState.WAITING):
            number, (of, seed) = ask().number, key_of(trial)
            if (of, seed) in {item.key for item in fitting}:
                return number
            if of in in_field and seed < _most_seeds(study):
                held_back.append(number)  # there is no time for it, or other seeds come first
            else:
                confirmations.fail(number, UNWANTED)
        if not fitting:
            return None
        trial, seed = fitting[0].trial, fitting[0].seed
        values = _values(study, trial) or {}
        confirmations.optuna_study.enqueue_trial(values, user_attrs={OF: trial.number, SEED: seed})
        return ask().number
    finally:
        for number in held_back:
            confirmations.pause(number)


def _values(study: Study, trial: FrozenTrial) -> dict[str, Any] | None:
    """Return a trial's values as the search space saw them; None if they are unknown here."""
    found = trial.user_attrs.get(VALUES) or values_of(read(study.trials.folder_of(trial))[0])
    return None if trial.params and not found else dict(found)


def expected_rounds(study: Study, workers: int, most: float = inf) -> list[float]:
    """Return how many seconds the rounds will take that fit into some time, together.

    A round is one more seed for each candidate. A part of one is of little use: trials can use that
    time better.

    Args:
        study: The study.
        workers: The number of workers.
        most: The time in seconds.

    Returns:
        The seconds from the beginning to the end of each round that is outstanding and fits. The
        first one is there even if it does not fit. While no trial is complete and there is nothing
        to estimate from, its time is infinite.
    """
    if study.plan.confirm.trials and not study.ranking():
        return [inf]
    free, ends = [0.0] * workers, list[float]()
    for _, items in groupby(outstanding(study), key=lambda confirmation: confirmation.seed):
        for confirmation in items:
            heapq.heapreplace(free, free[0] + MARGIN * seconds_of(study, confirmation))
        if ends and max(free) > most:
            break
        ends.append(max(free))
    return ends


def seconds_of(study: Study, confirmation: Confirmation) -> float:
    """Return how many seconds a confirmation will take, estimated from its trial's epochs."""
    return epochs(study) * (seconds_of_epoch(confirmation.trial) or 0.0)


def epochs(study: Study) -> int:
    """Return the number of epochs of a confirmation."""
    return study.plan.confirm.epochs or study.plan.epochs


def limit_seconds(study: Study) -> float | None:
    """Return the time limit of a confirmation: that of a trial, scaled by the number of epochs.

    With screening, a configuration has had the limit once for each of its trials.
    """
    limit, screen = study.plan.trial_timeout_seconds, study.plan.screen
    if limit is None:
        return None
    trials = 1 + len(screen.rungs) if screen else 1
    return limit * trials * epochs(study) / study.plan.epochs
