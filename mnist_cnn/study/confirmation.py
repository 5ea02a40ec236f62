"""Confirmation: the best trials are trained again on fresh seeds before one is called the best.

The best of many noisy scores is partly luck. Scores on seeds of their own are not chosen, so their
mean does not flatter. Seed i is the same for all candidates, and two candidates are compared on the
seeds that both have. A confirmation is a trial of a study of its own, `<study>.confirm`.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev, variance

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.study.study import OF, SEED, Study
from mnist_cnn.tracking.journal import read, values_of

# Epochs vary by some per cent, and a confirmation is also built, scored and saved. Where too little
# time is kept, a candidate goes without its last seed.
MARGIN = 1.1


@dataclass(frozen=True)
class Confirmation:
    """One training of a trial's configuration on a fresh seed.

    Attributes:
        trial: The trial.
        seed: Which fresh seed, from 0.
    """

    trial: FrozenTrial
    seed: int

    @property
    def key(self) -> tuple[int, int]:
        """What identifies it: the trial's number and the seed."""
        return self.trial.number, self.seed


@dataclass(frozen=True)
class Candidate:
    """A trial and what its configuration came to on fresh seeds.

    Attributes:
        trial: The trial.
        by_seed: The first objective of each confirmation, by its seed; empty where none was made.
        model: The file of the best of its confirmations, or of the trial itself.
    """

    trial: FrozenTrial
    by_seed: Mapping[int, float]
    model: Path

    @property
    def scores(self) -> tuple[float, ...]:
        """The first objective of each confirmation."""
        return tuple(self.by_seed.values())

    @property
    def first(self) -> float:
        """The trial's own value, by which it was chosen."""
        return float(self.trial.values[0])

    @property
    def score(self) -> float:
        """The mean over the fresh seeds, or else the trial's own value."""
        return fmean(self.scores) if self.scores else self.first

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the fresh seeds; None of fewer than two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def outstanding(study: Study) -> list[Confirmation]:
    """Return the confirmations that have not ended: the planned ones, then tie breaks."""
    plan = study.plan.confirm
    ended = {_key(trial) for trial in study.confirmations.finished()}
    best = study.ranking()[: plan.trials]
    planned = [Confirmation(trial, seed) for seed in range(plan.seeds) for trial in best]
    left = [item for item in planned if item.key not in ended]
    return left or _tie_breaks(study, ended)


def next_confirmation(study: Study, seconds_left: float) -> int | None:
    """Ask for the confirmation to make next; returns its number, None if there is none.

    One is enqueued for an idle worker only, since Optuna hands out the lowest one that waits. One
    that waits since an interruption and is no longer wanted is failed.

    Args:
        study: The study whose trials are confirmed.
        seconds_left: The first seed of each candidate is always tried, the others only if they
            will be done in this time.
    """
    confirmations = study.confirmations
    placed = {_key(trial) for trial in confirmations.all(TrialState.RUNNING)}
    wanted = {
        item.key: item
        for item in outstanding(study)
        if item.key not in placed and (item.seed == 0 or seconds_of(study, item) < seconds_left)
    }
    still_wanted = {item.key for item in outstanding(study)}
    for trial in confirmations.all(TrialState.WAITING):
        if _key(trial) not in still_wanted:
            number = confirmations.optuna_study.ask().number
            confirmations.fail(number, "no longer wanted: other trials are better")
        elif _key(trial) in wanted:
            return confirmations.optuna_study.ask().number
        else:
            return None  # there is no time for it
    if not wanted:
        return None
    item = next(iter(wanted.values()))
    values = values_of(read(study.trials.folder(item.trial.number))[0])
    attributes = {OF: item.trial.number, SEED: item.seed}
    confirmations.optuna_study.enqueue_trial(values, user_attrs=attributes)
    return confirmations.optuna_study.ask().number


def expected_seconds(study: Study, workers: int) -> float:
    """Return how long all outstanding confirmations will take, on workers as they become free."""
    free = [0.0] * workers
    for confirmation in outstanding(study):
        heapq.heapreplace(free, free[0] + seconds_of(study, confirmation))
    return MARGIN * max(free)


def seconds_of(study: Study, confirmation: Confirmation) -> float:
    """Return how long a confirmation will take, judged by its trial's own epochs."""
    events, _ = read(study.trials.folder(confirmation.trial.number))
    seconds = [e["metrics"]["epoch_seconds"] for e in events if e["event"] == "metrics"]
    return epochs(study) * median(seconds) if seconds else 0.0


def epochs(study: Study) -> int:
    """Return how many epochs a confirmation has."""
    return study.plan.confirm.epochs or study.plan.epochs


def limit_seconds(study: Study) -> float | None:
    """Return the time limit of a confirmation: a trial's, in proportion to the epochs."""
    limit = study.plan.trial_timeout_seconds
    if limit is None:
        return None
    return limit * epochs(study) / study.plan.epochs


def candidates(study: Study) -> list[Candidate]:
    """Return the complete trials with what their confirmations gave, best first.

    Confirmed trials come before unconfirmed ones: their scores are of another kind. They are
    ranked on the seeds that all of them have, and the best two on those that both have. A trial
    whose model is lost is left out.
    """
    results = _results(study)
    found = []
    for trial in study.ranking():
        scores = {seed: score for seed, (score, _) in results.get(trial.number, {}).items()}
        model = study.trials.folder(trial.number) / MODEL_FILE
        if scores:
            best = min(scores, key=lambda seed: study.objective.rank_key(scores[seed]))
            model = results[trial.number][best][1]
        elif (model.parent / DROPPED_FILE).exists():
            continue
        found.append(Candidate(trial, scores, model))
    confirmed = [candidate for candidate in found if candidate.scores]
    ranked = _by_common_seeds(study, confirmed)
    ranked[:2] = _by_common_seeds(study, ranked[:2])
    return ranked + [candidate for candidate in found if not candidate.scores]


def _by_common_seeds(study: Study, confirmed: list[Candidate]) -> list[Candidate]:
    """Sort by the mean over the seeds that all have, or over each one's own if there is none."""
    if not confirmed:
        return []
    common = set.intersection(*(set(candidate.by_seed) for candidate in confirmed))

    def key(candidate: Candidate) -> float:
        seeds = common or candidate.by_seed.keys()
        return study.objective.rank_key(fmean(candidate.by_seed[seed] for seed in seeds))

    return sorted(confirmed, key=key)


def _tie_breaks(study: Study, ended: Iterable[tuple[int, int]]) -> list[Confirmation]:
    """Return one more seed for each of the two best while they cannot be told apart.

    They are told apart by a difference of more than two standard errors.
    """
    best = [candidate for candidate in candidates(study) if len(candidate.scores) > 1][:2]
    if len(best) < 2:
        return []
    error = sqrt(sum(variance(candidate.scores) / len(candidate.scores) for candidate in best))
    if abs(best[0].score - best[1].score) > 2 * error:
        return []
    # Counted are those that were made, not those that came to a score: a seed on which a training
    # fails is not tried again.
    made = {candidate.trial.number: 0 for candidate in best}
    for number, _ in ended:
        if number in made:
            made[number] += 1
    fewest = min(made.values())
    if fewest >= study.plan.confirm.max_seeds:
        return []
    tied = [candidate.trial for candidate in best if made[candidate.trial.number] == fewest]
    return [Confirmation(trial, fewest) for trial in tied]


def _results(study: Study) -> dict[int, dict[int, tuple[float, Path]]]:
    """Return the score and the model of each complete confirmation, by trial and seed."""
    found: dict[int, dict[int, tuple[float, Path]]] = {}
    for trial in study.confirmations.all(TrialState.COMPLETE):
        number, seed = _key(trial)
        folder = study.confirmations.folder(trial.number)
        if not (folder / DROPPED_FILE).exists():
            found.setdefault(number, {})[seed] = (float(trial.values[0]), folder / MODEL_FILE)
    return found


def _key(confirmation: FrozenTrial) -> tuple[int, int]:
    return confirmation.user_attrs[OF], confirmation.user_attrs[SEED]
