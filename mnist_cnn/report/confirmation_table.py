"""How the best trials were confirmed, as a table: in MLflow, on the page, in the terminal."""

from collections.abc import Sequence
from statistics import fmean

from mnist_cnn.report.text import difference, number
from mnist_cnn.study.confirmation import Candidate, outstanding
from mnist_cnn.study.study import Study

COLUMNS = ("trial", "first score", "confirmed mean", "standard deviation", "flattered by", "seeds")


def rows(study: Study, ranked: Sequence[Candidate]) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each candidate that was confirmed, the winner first."""
    return [
        (
            str(candidate.trial.number),
            number(candidate.first),
            number(candidate.score),
            "" if candidate.deviation is None else f"{candidate.deviation:.2g}",
            difference(flattery(study, candidate)),
            ", ".join(map(number, candidate.scores)),
        )
        for candidate in ranked
        if candidate.scores
    ]


def flattery(study: Study, candidate: Candidate) -> float:
    """By how much the first score is better than the mean; below zero if it is worse."""
    sign = 1 if study.objective.direction == "maximize" else -1
    return sign * (candidate.first - candidate.score)


def in_words(study: Study, ranked: Sequence[Candidate]) -> str:
    """What the table says, in a few sentences; "" if nothing was to be confirmed."""
    confirmed = [candidate for candidate in ranked if candidate.scores]
    if not confirmed:
        return _nothing_confirmed(study)
    mean = fmean(flattery(study, candidate) for candidate in confirmed)
    better = "better" if mean >= 0 else "worse"
    several = f"on average over {len(confirmed)} trials " if len(confirmed) > 1 else ""
    text = (
        "A first score took part in the choice and so is partly luck; fresh seeds did not. It was "
        f"{several}{abs(mean):.2g} {better} than their mean."
    )
    epochs = study.plan.confirm.epochs or study.plan.epochs
    if epochs != study.plan.epochs:
        text += f" A confirmation has {epochs} epochs, though, and a trial {study.plan.epochs}."
    return text + _not_confirmed_yet(study, ranked)


def _not_confirmed_yet(study: Study, ranked: Sequence[Candidate]) -> str:
    """Which trials began better than the winner and were not confirmed for want of time."""
    waiting = {item.trial.number for item in outstanding(study)}
    better = [
        candidate.trial.number
        for candidate in ranked
        if not candidate.scores
        and candidate.trial.number in waiting
        and study.objective.better(candidate.first, ranked[0].first)
    ]
    if not better:
        return ""
    which = "Trial" if len(better) == 1 else "Trials"
    numbers = " and ".join(map(str, better))
    return (
        f" {which} {numbers} had a better first score than the winner, but the time ended before "
        f"a confirmation did: {_going_on(study)}"
    )


def _nothing_confirmed(study: Study) -> str:
    if not outstanding(study):
        return ""
    return f"The time ended before any trial was confirmed on fresh seeds: {_going_on(study)}"


def _going_on(study: Study) -> str:
    command = f"make search EXPERIMENT={study.plan.name} STUDY={study.name}"
    return f"`{command} TRIALS={len(study.finished()) + 1}` goes on."
