"""Confirmation: the best trials are trained again on fresh seeds before the winner is chosen.

The best of many noisy scores is partly luck. Scores on fresh seeds were not selected, so their mean
is not biased upwards. Seed i is the same for all candidates, and two candidates are compared on the
seeds that both have. A confirmation is a trial of a separate Optuna study, `<study>.confirm`.

It is a race (O. Maron and A. W. Moore, "Hoeffding Races", 1993): the candidates advance seed by
seed, and one that is clearly behind the leader gets no further seeds.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby, takewhile
from math import inf, sqrt
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from scipy.special import stdtrit

from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.study import screening
from mnist_cnn.study.study import MODELS_KEPT, OF, SEED, Study
from mnist_cnn.study.trials import VALUES
from mnist_cnn.tracking.journal import read, values_of

# The time of an epoch varies by a few per cent, and building, scoring, saving and starting another
# worker take time too. If too little time is reserved, a candidate loses its last seed.
MARGIN = 1.1
# A candidate is out of the race if a t test at this two-sided level puts it behind the leader.
LEVEL = 0.05


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


@dataclass(frozen=True)
class Candidate:
    """A trial and the scores of its configuration on fresh seeds.

    Attributes:
        trial: The trial.
        by_seed: The first objective of each complete confirmation, by the index of its seed. Empty
            if there is none.
        model: The model file of its best confirmation. Without confirmations, that of the trial.
    """

    trial: FrozenTrial
    by_seed: Mapping[int, float]
    model: Path

    @property
    def scores(self) -> tuple[float, ...]:
        """The first objective of each complete confirmation."""
        return tuple(self.by_seed.values())

    @property
    def first(self) -> float:
        """The trial's own first objective, by which it was selected."""
        return float(self.trial.values[0])

    @property
    def score(self) -> float:
        """The mean over the fresh seeds. Without confirmations, the trial's own value."""
        return fmean(self.scores) if self.scores else self.first

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the fresh seeds. None if there are fewer than two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def outstanding(study: Study) -> list[Confirmation]:
    """Return the confirmations that have not ended, of the trials that may still win.

    Each gets the planned number of seeds. Then those that may still win get one more, as long as
    there are at least two, up to `Confirm.max_seeds`. With several objectives, the points of the
    front are confirmed, each on the planned number of seeds: all of them, or as many as planned,
    spread from one end to the other.
    """
    plan = study.plan.confirm
    finished = study.confirmations.finished()
    ended = {_key(trial) for trial in finished if not screening.is_lost(trial)}
    beaten = _beaten(study, candidates(study))
    if front := study.front():  # whose points do not race: each is the best of its kind
        field, most = _spread(front, plan.trials), plan.seeds
    else:
        field = [trial for trial in study.ranking()[: plan.trials] if trial.number not in beaten]
        most = plan.max_seeds
    # A seed whose run failed has ended too, and is not tried again.
    for seeds in range(plan.seeds, most + 1):
        planned = [Confirmation(trial, seed) for seed in range(seeds) for trial in field]
        left = [item for item in planned if item.key not in ended]
        if left or len(field) < 2:
            return left
    return []


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
    placed = {_key(trial) for trial in confirmations.all(TrialState.RUNNING)}
    left = outstanding(study)
    first = (study.ranking()[0].number, 0) if left else None
    fitting = [
        item
        for item in left
        if item.key not in placed
        and (item.key == first or seconds_of(study, item) < seconds_left)
        and _values(study, item.trial) is not None
    ]
    ask, held_back = confirmations.optuna_study.ask, []
    try:
        # Optuna hands out the waiting trial with the lowest number, wanted or not.
        for trial in confirmations.all(TrialState.WAITING):
            number = ask().number
            if _key(trial) in {item.key for item in fitting}:
                return number
            if _key(trial) in {item.key for item in left}:
                held_back.append(number)  # there is not enough time for it
            else:
                confirmations.fail(number, "no longer wanted: other trials are better")
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
    events, _ = read(study.trials.folder_of(confirmation.trial))
    seconds = [e["metrics"]["epoch_seconds"] for e in events if e["event"] == "metrics"]
    return epochs(study) * fmean(seconds) if seconds else 0.0


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


def candidates(study: Study) -> list[Candidate]:
    """Return the complete trials with the scores of their confirmations, best first.

    Confirmed trials come before unconfirmed ones, because the two kinds of score cannot be
    compared. But if there was no time to confirm the trials with the best first scores, these stay
    in front: confirmations of worse ones, which may have ended sooner, say nothing about them.
    Confirmed trials are ranked on the seeds that all of them have, then the best two on the seeds
    that both have. One with fewer seeds than two others, because a seed failed or it is out of the
    race, comes behind these. If there was only no time for its other seeds, it is compared with one
    after the other. An unconfirmed trial whose model is lost is left out.
    """
    results = _results(study)
    kept = max(MODELS_KEPT, study.plan.confirm.trials)
    found = []
    for place, trial in enumerate(study.ranking()):
        scores = {seed: score for seed, (score, _) in results.get(trial.number, {}).items()}
        model = study.trials.folder_of(trial) / MODEL_FILE
        if scores:
            best = min(scores, key=lambda seed: study.objective.rank_key(scores[seed]))
            model = results[trial.number][best][1]
        elif place < kept and (model.parent / DROPPED_FILE).exists():
            continue
        found.append(Candidate(trial, scores, model))
    leading: list[Candidate] = []
    if any(candidate.scores for candidate in found) and not study.front():
        ended = {_key(trial)[0] for trial in study.confirmations.finished()}
        leading = list(takewhile(lambda one: one.trial.number not in ended, found))
    found = found[len(leading) :]
    confirmed = [candidate for candidate in found if candidate.scores]
    ranked = _ranked(study, confirmed)
    return [*leading, *ranked, *(candidate for candidate in found if not candidate.scores)]


def _ranked(study: Study, confirmed: list[Candidate]) -> list[Candidate]:
    """Return confirmed candidates, best first, see `candidates`."""
    # A candidate with few seeds must not reduce all comparisons to these.
    counts = sorted(len(candidate.scores) for candidate in confirmed)
    enough = counts[-2] if len(counts) > 1 else 0
    ranked = _by_common_seeds(study, [c for c in confirmed if len(c.scores) >= enough])
    ranked[:2] = _by_common_seeds(study, ranked[:2])
    short = [c for c in confirmed if len(c.scores) < enough]
    slow = [c for c in short if c.trial.number in _in_race(study, [*ranked, *short])]
    for one in slow:  # nor lose because it is slow
        place = 0
        while place < len(ranked) and _by_common_seeds(study, [ranked[place], one])[1] is one:
            place += 1
        ranked.insert(place, one)
    return ranked + _by_common_seeds(study, [c for c in short if c not in slow])


def _by_common_seeds(study: Study, confirmed: list[Candidate]) -> list[Candidate]:
    """Sort by the mean over the common seeds; without common seeds, over each one's own."""
    if not confirmed:
        return []
    common = set.intersection(*(set(candidate.by_seed) for candidate in confirmed))

    def key(candidate: Candidate) -> float:
        seeds = common or candidate.by_seed.keys()
        return study.objective.rank_key(fmean(candidate.by_seed[seed] for seed in seeds))

    return sorted(confirmed, key=key)


def _in_race(study: Study, ranked: list[Candidate]) -> set[int]:
    """Return the numbers of the trials that would get more seeds if there were time."""
    failed = {
        _key(trial)[0]
        for trial in study.confirmations.all(TrialState.FAIL)
        if not screening.is_lost(trial)
    }
    field = {trial.number for trial in study.ranking()[: study.plan.confirm.trials]}
    return field - failed - _beaten(study, ranked)


def _beaten(study: Study, ranked: list[Candidate]) -> set[int]:
    """Return the numbers of the trials that are clearly behind the leader of the race.

    The variance of a score is pooled over all candidates: that of two scores alone says little.

    Args:
        study: The study.
        ranked: The candidates, best first.

    Returns:
        The trials whose mean is significantly worse than the leader's, on the seeds that both have,
        see `LEVEL`.
    """
    confirmed = [candidate for candidate in ranked if len(candidate.scores) > 1]
    if not confirmed:
        return set()
    squares = sum(variance(one.scores) * (len(one.scores) - 1) for one in confirmed)
    freedom = sum(len(one.scores) - 1 for one in confirmed)
    pooled, quantile = squares / freedom, stdtrit(freedom, 1 - LEVEL / 2)
    leader = confirmed[0]
    beaten = set()
    for other in confirmed[1:]:
        common = leader.by_seed.keys() & other.by_seed.keys()
        if not common:
            continue
        one, two = (fmean(each.by_seed[seed] for seed in common) for each in (leader, other))
        if study.objective.gain(one, two) > quantile * sqrt(2 * pooled / len(common)):
            beaten.add(other.trial.number)
    return beaten


def _results(study: Study) -> dict[int, dict[int, tuple[float, Path]]]:
    """Return the score and the model file of each complete confirmation, by trial and seed."""
    found: dict[int, dict[int, tuple[float, Path]]] = {}
    for trial in study.confirmations.all(TrialState.COMPLETE):
        number, seed = _key(trial)
        folder = study.confirmations.folder_of(trial)
        if not (folder / DROPPED_FILE).exists():
            found.setdefault(number, {})[seed] = (float(trial.values[0]), folder / MODEL_FILE)
    return found


def _key(confirmation: FrozenTrial) -> tuple[int, int]:
    return confirmation.user_attrs[OF], confirmation.user_attrs[SEED]
