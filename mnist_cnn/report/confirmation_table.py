"""The confirmations as a table and in words, for MLflow, the page and the terminal.

Trials are selected by their first score, so that is partly luck. The scores on fresh seeds are not,
and the difference is the optimism of the first score.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from mnist_cnn.experiment_id import search_command
from mnist_cnn.objectives import ACCURACY, Objective
from mnist_cnn.report.text import counted, difference, number
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.confirmation import outstanding
from mnist_cnn.study.outcome import objective_value, summary_of
from mnist_cnn.study.storage import storage_option
from mnist_cnn.study.study import Study


def columns(study: Study) -> list[str]:
    """Return the titles of the columns of `rows`."""
    shown = ["trial", "first score", "confirmed mean"]
    if study.objective.metric != ACCURACY:
        shown.append("accuracy")
    return [*shown, "standard deviation", "optimism", "scores on fresh seeds"]


def rows(study: Study, ranked: Sequence[Candidate]) -> list[list[str]]:
    """Return a row for each confirmed candidate, the winner first, see `columns`."""
    return [
        [cells[title] for title in columns(study)]
        for cells in (_cells(study, candidate) for candidate in ranked if candidate.scores)
    ]


def accuracy_beside(study: Study, candidate: Candidate) -> float | None:
    """Return a candidate's accuracy, if its score is not the accuracy and it has one."""
    return None if study.objective.metric == ACCURACY else accuracy(candidate)


def _cells(study: Study, candidate: Candidate) -> dict[str, str]:
    mean_accuracy = accuracy(candidate)
    return {
        "trial": str(candidate.trial.number),
        "first score": number(candidate.first),
        "confirmed mean": number(candidate.score),
        "accuracy": "" if mean_accuracy is None else number(mean_accuracy),
        "standard deviation": "" if candidate.deviation is None else f"{candidate.deviation:.2g}",
        "optimism": difference(optimism(study.objective, candidate)),
        "scores on fresh seeds": ", ".join(map(number, candidate.scores)),
    }


def accuracy(candidate: Candidate) -> float | None:
    """Return the mean validation accuracy of the runs that a candidate's score is from.

    None if the models have no such metric.
    """
    found = [objective_value(summary_of(folder), ACCURACY) for folder in candidate.runs]
    return None if any(map(math.isnan, found)) else fmean(found)


def optimism(objective: Objective, candidate: Candidate) -> float:
    """Return by how much the first score is better than the mean on fresh seeds."""
    return objective.gain(candidate.first, candidate.score)


def summary(study: Study, ranked: Sequence[Candidate]) -> str:
    """Return a summary of the table in a few sentences, or "" if there was nothing to confirm."""
    confirmed = [candidate for candidate in ranked if candidate.scores]
    if not confirmed:
        return _nothing_confirmed(study)
    sentences = [
        "The trials were selected by their first scores, so these are partly luck; the scores on "
        "fresh seeds are not.",
        _mean_optimism(study, confirmed),
    ]
    epochs = study.plan.confirm.epochs or study.plan.epochs
    if epochs != study.plan.epochs:
        sentences.append(
            f"A trial trains for {counted(study.plan.epochs, 'epoch')}, but a confirmation for "
            f"{epochs}."
        )
    if any(study.objective.better(other.score, confirmed[0].score) for other in confirmed[1:]):
        sentences.append(
            "Two trials are compared on the seeds that both have, so the winner need not have the "
            "best mean."
        )
    missing = _not_confirmed_in_time(study, ranked)
    if missing:
        sentences.append(missing)
    return " ".join(sentences)


def _mean_optimism(study: Study, confirmed: Sequence[Candidate]) -> str:
    mean = fmean(optimism(study.objective, candidate) for candidate in confirmed)
    compared = "as good as"
    if mean:
        compared = f"{abs(mean):.2g} {'better' if mean > 0 else 'worse'} than"
    sentence = f"first score was {compared} the mean on fresh seeds."
    if len(confirmed) == 1:
        return f"The {sentence}"
    return f"On average over {len(confirmed)} trials, the {sentence}"


def _not_confirmed_in_time(study: Study, ranked: Sequence[Candidate]) -> str:
    """Say that the winner was not confirmed before time ran out, or which might have beaten it."""
    if not ranked[0].scores:
        winner = f"The winner, trial {ranked[0].trial.number}, had the best first score"
        if not study.plan.confirm.trials:
            return f"{winner}; it was not confirmed, since the experiment has Confirm(trials=0)."
        return f"{winner}, but time ran out before it was confirmed; {_how_to_continue(study)}"
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
    if len(better) == 1:
        trials, they = f"Trial {better[0]}", "it was"
    else:
        trials, they = f"Trials {' and '.join(map(str, better))}", "they were"
    return (
        f"{trials} had a better first score than the winner, but time ran out before {they} "
        f"confirmed; {_how_to_continue(study)}"
    )


def _nothing_confirmed(study: Study) -> str:
    if not outstanding(study):
        return ""
    return f"Time ran out before any trial was confirmed on fresh seeds; {_how_to_continue(study)}"


def _how_to_continue(study: Study) -> str:
    storage = storage_option(study.storage)
    given = {"study": study.name, "trials": study.tried() + 1, "storage": storage}
    return (
        f"to confirm more, type `{search_command(study.plan.id, given)}`, which first tries one "
        "more configuration."
    )
