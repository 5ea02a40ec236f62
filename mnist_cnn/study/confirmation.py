"""Confirmation: the best trials are trained again on fresh seeds before one is called the best.

The best of many noisy scores is partly luck. Scores on seeds of their own are not chosen, so their
mean does not flatter.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev, variance

from optuna.trial import FrozenTrial

from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE
from mnist_cnn.study.outcome import objective_value
from mnist_cnn.study.study import Study
from mnist_cnn.tracking import journal
from mnist_cnn.tracking.journal import Journal

# Epochs vary by some per cent, and a confirmation is also built, scored and saved. Where too little
# time is kept, a candidate goes without its last seed.
MARGIN = 1.1


@dataclass(frozen=True)
class Confirmation:
    """One training of a trial's configuration on a fresh seed.

    index: which of the trial's confirmations, from 0.
    """

    trial: FrozenTrial
    index: int

    def folder(self, study: Study) -> Path:
        """Where its files lie."""
        return study.folder / f"confirmation-{self.trial.number:05d}-{self.index}"


@dataclass(frozen=True)
class Candidate:
    """A trial and what its configuration came to on fresh seeds.

    scores: the first objective of each confirmation; empty where none was made.
    model: the file of the best of its confirmations, or of the trial itself.
    """

    trial: FrozenTrial
    scores: tuple[float, ...]
    model: Path

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
    """The confirmations that are still to be made: the planned ones, then tie breaks."""
    plan = study.plan.confirm
    best = study.ranking()[: plan.trials]
    planned = [Confirmation(trial, index) for index in range(plan.seeds) for trial in best]
    return _not_ended(study, planned) or _tie_breaks(study)


def expected_seconds(study: Study, workers: int) -> float:
    """How long all outstanding confirmations will take, each on the worker that is free first."""
    free = [0.0] * workers
    for confirmation in outstanding(study):
        heapq.heapreplace(free, free[0] + seconds_of(study, confirmation))
    return MARGIN * max(free)


def seconds_of(study: Study, confirmation: Confirmation) -> float:
    """How long a confirmation will take, judged by its trial's own epochs."""
    events, _ = journal.read(study.trial_folder(confirmation.trial.number))
    seconds = [e["metrics"]["epoch_seconds"] for e in events if e["event"] == "metrics"]
    epochs = study.plan.confirm.epochs or study.plan.epochs
    return epochs * median(seconds) if seconds else 0.0


def limit_seconds(study: Study) -> float | None:
    """The time limit of a confirmation: a trial's, in proportion to the epochs."""
    limit = study.plan.trial_timeout_seconds
    epochs = study.plan.confirm.epochs or study.plan.epochs
    if limit is None:
        return None
    return limit * epochs / study.plan.epochs


def candidates(study: Study) -> list[Candidate]:
    """The complete trials with what their confirmations gave, best first.

    Confirmed trials come before unconfirmed ones: their scores are of another kind.
    """
    rank_key = study.objective.rank_key
    results = _results(study)
    confirmed, others = [], []
    for trial in study.ranking():
        if found := results.get(trial.number):
            best = min(found, key=lambda result: rank_key(result[0]))
            confirmed.append(Candidate(trial, tuple(score for score, _ in found), best[1]))
        else:
            model = study.trial_folder(trial.number) / MODEL_FILE
            others.append(Candidate(trial, (), model))
    return sorted(confirmed, key=lambda candidate: rank_key(candidate.score)) + others


def _not_ended(study: Study, confirmations: Iterable[Confirmation]) -> list[Confirmation]:
    return [c for c in confirmations if not Journal(c.folder(study)).ended]


def _tie_breaks(study: Study) -> list[Confirmation]:
    """One more seed for each of the two best while they cannot be told apart, up to the bound.

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
    made = [(candidate, _made(study, candidate.trial)) for candidate in best]
    fewest = min(count for _, count in made)
    if fewest >= study.plan.confirm.max_seeds:
        return []
    return [Confirmation(c.trial, count) for c, count in made if count == fewest]


def _made(study: Study, trial: FrozenTrial) -> int:
    """How many confirmations of the trial have ended."""
    indices = range(study.plan.confirm.max_seeds)
    ended = [Journal(Confirmation(trial, i).folder(study)).ended for i in indices]
    return sum(ended)


def _results(study: Study) -> dict[int, list[tuple[float, Path]]]:
    """The score and the model of each confirmation that was made, by the trial's number."""
    found: dict[int, list[tuple[float, Path]]] = {}
    for folder in sorted(study.folder.glob("confirmation-*")):
        end = Journal(folder).last
        if end and end["event"] == "end" and end["status"] == "FINISHED":
            score = objective_value(end["metrics"], study.objective.metric)
            number = int(folder.name.split("-")[1])
            found.setdefault(number, []).append((score, folder / MODEL_FILE))
    return found


def lost(folder: Path, reason: str, final: bool) -> None:
    """End a confirmation whose process was lost; it is not tried again."""
    journal = Journal(folder)
    if not journal.ended:
        journal.write("end", status="FAILED", tags={"reason": reason}, step=0, metrics={})


def clean(folder: Path) -> None:
    """Remove the checkpoint of a confirmation that has ended."""
    if Journal(folder).ended:
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def pause(folder: Path) -> None:
    """Note that a confirmation was interrupted; it goes on where it was."""
    journal = Journal(folder)
    journal.pause()
