"""The description of a study's run, in Markdown: counts, confirmations, the best configurations."""

from collections.abc import Iterable, Sequence
from typing import Any

from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.report import confirmation_table, front
from mnist_cnn.report.text import STATE_WORDS, in_one_line, number
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.study import Study
from mnist_cnn.study.trials import ENDED
from mnist_cnn.tracking import journal
from mnist_cnn.tracking.journal import Journal

SHOWN_CONFIGURATIONS = 5
NO_MODEL = (
    "the models of its space cannot be saved, or its own fit trained another model or did not pass "
    "on the callbacks"
)


def configuration(study: Study, candidate: Candidate) -> dict[str, Any]:
    """Return a candidate's hyperparameters as the search space saw them, by KerasTuner's names."""
    events, _ = journal.read(study.trials.folder_of(candidate.trial))
    return journal.values_of(events)


def has_no_model(candidate: Candidate) -> bool:
    """Return whether a candidate's run ended without a model."""
    end = Journal(candidate.model.parent).end
    return end is not None and "model" in end and end["model"] is None


def problem_of_promotion(study: Study, winner: Candidate) -> str:
    """Return why `promote` would refuse the winner's model; "" if it may accept it."""
    return NO_MODEL if has_no_model(winner) else study.plan.unserved


def description(study: Study, ranked: Sequence[Candidate]) -> str:
    """Return the description of a study that has a winner.

    Args:
        study: The study.
        ranked: The candidates, the winner first.
    """
    metric = study.objective.metric
    counts = ", ".join(
        f"{len(study.trials.without_repeats(state))} {STATE_WORDS[state]}" for state in ENDED
    )
    lines = [f"**{study.name}**: {counts} trials. {_model(study, ranked[0])}"]
    if points := front.rows(study, ranked):
        lines += ["", f"**The front.** {front.how_to_promote(study)}", ""]
        lines += _markdown_table(front.columns(study), points)
    rows = confirmation_table.rows(study, ranked)
    if rows:
        lines += ["", f"**Confirmed on fresh seeds, by {metric}**", ""]
        lines += _markdown_table(confirmation_table.columns(study), rows)
    lines += ["", confirmation_table.summary(study, ranked)]
    lines += ["", "**The best configurations**", ""]
    lines += _markdown_table(
        ("trial", f"{metric}, first score", "configuration"),
        [
            (
                str(candidate.trial.number),
                number(candidate.first),
                in_one_line(configuration(study, candidate)),
            )
            for candidate in ranked[:SHOWN_CONFIGURATIONS]
        ],
    )
    return "\n".join(lines)


def _model(study: Study, winner: Candidate) -> str:
    if has_no_model(winner):
        return f"There is no model: {NO_MODEL}."
    text = f"The best model is the artifact `{MODEL_FILE}`"
    if len(study.plan.objectives) > 1:
        return f"The artifact `{MODEL_FILE}` is the model with the best {study.objective.metric}."
    if problem := problem_of_promotion(study, winner):
        return f"{text}, which promote and serve refuse: {problem}."
    return f"{text}; `make promote {study.plan.id.for_make}` registers it."


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in escaped]
