"""Candidates: which of the best trials wins, by its scores on fresh seeds.

The best of many noisy scores is partly luck. Scores on fresh seeds were not selected, so their mean
is not biased upwards. Seed i is the same for all candidates, and two candidates are compared on the
seeds that both have.

It is a race (O. Maron and A. W. Moore, "Hoeffding Races", 1993): the candidates advance seed by
seed, and one that is clearly behind the leader is beaten, and gets no further seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev, variance

from optuna.trial import FrozenTrial, TrialState
from scipy.special import stdtrit

from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.study import chains
from mnist_cnn.study.study import MODELS_KEPT, OF, SEED, Study, is_finite

# A candidate is out of the race if a t test at this two-sided level puts it behind the leader.
LEVEL = 0.05
# The reason of a failed confirmation that waited until its trial was out of the race.
UNWANTED = "no longer wanted: other trials are better"


@dataclass(frozen=True)
class Candidate:
    """A trial and the scores of its configuration on fresh seeds.

    Attributes:
        trial: The trial.
        by_seed: The first objective of each complete confirmation, by the index of its seed. Empty
            if there is none.
        model: The model file of its best confirmation. Without confirmations, that of the trial.
        runs: The folders of the runs that its score is from: its complete confirmations. Without
            these, that of the trial.
    """

    trial: FrozenTrial
    by_seed: Mapping[int, float]
    model: Path
    runs: Sequence[Path]

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
        confirmations = results.get(trial.number, {})
        scores = {seed: score for seed, (score, _) in confirmations.items()}
        runs = [folder for _, folder in confirmations.values()]
        best = study.trials.folder_of(trial)
        if scores:
            seed = min(scores, key=lambda seed: study.objective.rank_key(scores[seed]))
            best = confirmations[seed][1]
        elif place < kept and (best / DROPPED_FILE).exists():
            continue
        found.append(Candidate(trial, scores, best / MODEL_FILE, runs or [best]))
    leading: list[Candidate] = []
    if any(candidate.scores for candidate in found) and not study.front():
        ended = {key_of(trial)[0] for trial in study.confirmations.finished()}
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
        key_of(trial)[0]
        for trial in study.confirmations.all(TrialState.FAIL)
        if not chains.is_lost(trial) and trial.user_attrs.get("reason") != UNWANTED
    }
    field = {trial.number for trial in study.ranking()[: study.plan.confirm.trials]}
    return field - failed - beaten(study, ranked)


def beaten(study: Study, ranked: list[Candidate]) -> set[int]:
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
    """Return the score and the folder of each complete confirmation, by trial and seed."""
    found: dict[int, dict[int, tuple[float, Path]]] = {}
    for trial in filter(is_finite, study.confirmations.all(TrialState.COMPLETE)):
        number, seed = key_of(trial)
        folder = study.confirmations.folder_of(trial)
        if not (folder / DROPPED_FILE).exists():
            found.setdefault(number, {})[seed] = (float(trial.values[0]), folder)
    return found


def key_of(confirmation: FrozenTrial) -> tuple[int, int]:
    """Return the number of the trial that a confirmation trains again, and its seed's index."""
    return confirmation.user_attrs[OF], confirmation.user_attrs[SEED]
