"""Confirmation: the best trials are trained again on fresh seeds before one is called the best.

The best of many noisy scores is partly luck. Scores on seeds of their own are not chosen, so their
mean does not flatter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from optuna.trial import FrozenTrial

from mnist_cnn import journal
from mnist_cnn.journal import Journal
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE
from mnist_cnn.outcome import objective_value
from mnist_cnn.study import Study


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
    def score(self) -> float:
        """The mean over the fresh seeds, or else the trial's own value."""
        return fmean(self.scores) if self.scores else float(self.trial.values[0])


def planned(study: Study) -> Iterator[Confirmation]:
    """The confirmations that the experiment asks for, one seed of every candidate after another."""
    plan = study.plan.confirm
    best = study.ranking()[: plan.trials]
    return (Confirmation(trial, index) for index in range(plan.seeds) for trial in best)


def outstanding(study: Study) -> list[Confirmation]:
    """The planned confirmations that have not ended."""
    return [c for c in planned(study) if not Journal(c.folder(study)).ended]


def expected_seconds(study: Study, workers: int) -> float:
    """How long the outstanding confirmations will take, judged by the trials' own epochs."""
    epochs = study.plan.confirm.epochs or study.plan.epochs
    seconds = [epochs * _epoch_seconds(study, c.trial) for c in outstanding(study)]
    # The longest one may begin last, so the work alone is not the whole of it.
    return sum(seconds) / workers + max(seconds, default=0) * (1 - 1 / workers)


def candidates(study: Study) -> list[Candidate]:
    """The best trials with what their confirmations gave, best first.

    Confirmed trials come before unconfirmed ones: their scores are of another kind.
    """
    objective = study.objective
    found: dict[int, list[tuple[float, Path]]] = {}
    trials = {trial.number: trial for trial in study.ranking()}
    for confirmation in planned(study):
        folder = confirmation.folder(study)
        end = Journal(folder).last
        if end and end["event"] == "end" and end["status"] == "FINISHED":
            score = objective_value(end["metrics"], objective.metric)
            found.setdefault(confirmation.trial.number, []).append((score, folder / MODEL_FILE))
    sign = -1 if objective.direction == "maximize" else 1
    confirmed = [
        Candidate(
            trials[number],
            tuple(score for score, _ in results),
            min(results, key=lambda result: sign * result[0])[1],
        )
        for number, results in found.items()
    ]
    return sorted(confirmed, key=lambda candidate: sign * candidate.score) + [
        Candidate(trial, (), study.trial_folder(number) / MODEL_FILE)
        for number, trial in trials.items()
        if number not in found
    ]


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
    if journal.last is not None and not journal.ended:
        journal.write("pause", tags={})


def _epoch_seconds(study: Study, trial: FrozenTrial) -> float:
    events, _ = journal.read(study.trial_folder(trial.number))
    seconds = [e["metrics"]["epoch_seconds"] for e in events if e["event"] == "metrics"]
    return fmean(seconds) if seconds else 0.0
