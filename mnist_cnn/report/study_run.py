"""A study's own run in MLflow: the best model, the report, the description.

`search_process` calls `begin` when a search starts, and the other functions when it ends.
"""

import json
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.files import replace_file
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.report import confirmation_table, front, result_names
from mnist_cnn.report.description import (
    NO_MODEL,
    configuration,
    description,
    has_no_model,
    problem_of_promotion,
)
from mnist_cnn.report.history import run_histories
from mnist_cnn.report.page import report_page
from mnist_cnn.report.plots import draw_plots
from mnist_cnn.report.tally import is_baseline, tally
from mnist_cnn.report.text import fresh_seeds, number, short
from mnist_cnn.report.view_facts import view_facts
from mnist_cnn.study.confirmation import Candidate, candidates
from mnist_cnn.study.study import Study, keeps_constraints
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.tracking.views import listed
from mnist_cnn.training import tasks
from mnist_cnn.workers.pool import CallLost, Pool

REPORT_FILE = "report.html"
PARAMETERS_FILE = "best_params.json"
MODEL_FOLDER = "model"  # the best model in MLflow's format
LINE_WIDTH = 90  # characters, of sentences in the terminal
ANY_WIDTH = 1000  # of lines in a file


def begin(study: Study) -> Journal:
    """Open the study's run, or reopen it, and return its journal."""
    journal = Journal(study.folder)
    new = journal.last is None
    source = f"experiments/{study.plan.id.file}.py"
    journal.write(
        "start",
        name=study.name,
        tags={tags.KIND: "study", tags.STUDY: study.name, tags.SOURCE: source},
        params=dict(study.plan.description),
    )
    name, digest = study.plan.dataset
    for context, images in study.plan.parts:
        journal.write("dataset", name=name, digest=digest, images=images, context=context)
    if new:  # so that people can watch the search in them
        journal.write("views", note="", **view_facts(study, [], []))
    return journal


def publish(study: Study, journal: Journal, workers: Pool) -> Candidate | None:
    """Write the study's result and report to its run.

    This can be repeated. The model is logged again only if the winner has changed.

    Args:
        study: The study.
        journal: Of the study's run.
        workers: One of them converts the model.

    Returns:
        The winner, or None if no trial completed.

    Raises:
        UserError: The winner's model file is gone.
    """
    ranked = candidates(study)
    if ranked:
        _write_result(study, journal, ranked)
        _log_model(study, journal, workers, ranked[0])
    write_report(study, journal, ranked)
    return ranked[0] if ranked else None


def write_report(study: Study, journal: Journal, ranked: Sequence[Candidate]) -> None:
    """Draw the plots and write the page that holds them and MLflow's views of the study.

    Args:
        study: The study.
        journal: Of the study's run.
        ranked: The candidates, the winner first; empty if no trial completed.
    """
    histories = run_histories(study.folder)
    note = description(study, ranked) if ranked else ""
    journal.write("views", note=note, **view_facts(study, ranked, histories))
    plots = draw_plots(study, ranked, histories)
    values = configuration(study, ranked[0]) if ranked else {}
    winners_run = run_id(ranked[0].model.parent) if ranked else None
    page = report_page(study, ranked, histories, plots, values, winners_run)
    replace_file(study.folder / REPORT_FILE, lambda path: path.write_text(page, "utf-8"))
    for plot in plots:
        if not plot.problem:
            journal.write("artifact", path=plot.path.name)
    journal.write("artifact", path=REPORT_FILE)


def _write_result(study: Study, journal: Journal, ranked: Sequence[Candidate]) -> None:
    winner, metric = ranked[0], study.objective.metric
    values = configuration(study, winner)
    result = {
        result_names.TRIAL: str(winner.trial.number),
        result_names.CONFIRMATIONS: str(len(winner.scores)),
    }
    for name, value in values.items():
        result[f"{result_names.PARAMETER}{name}"] = str(value)
    journal.write("tags", tags=result)
    scores = {
        result_names.best(metric): winner.score,
        result_names.first_score(metric): winner.first,
    }
    if winner.scores:
        scores[result_names.optimism(metric)] = confirmation_table.optimism(study, winner)
    if winner.deviation is not None:
        scores[result_names.deviation(metric)] = winner.deviation
    if study.front():
        text = front.as_json(study, ranked)
        replace_file(study.folder / front.FRONT_FILE, lambda path: path.write_text(text))
        journal.write("artifact", path=front.FRONT_FILE)
        # Only the last one: an extension of the study would put earlier ones on another scale.
        for _, value in front.hypervolumes(study.trials.finished(), study.plan.objectives)[-1:]:
            scores[front.HYPERVOLUME] = value
    journal.write("metrics", step=len(study.trials.finished()), metrics=scores)
    text = json.dumps(values, indent=2) + "\n"
    replace_file(study.folder / PARAMETERS_FILE, lambda path: path.write_text(text))
    journal.write("artifact", path=PARAMETERS_FILE)


def _log_model(study: Study, journal: Journal, workers: Pool, winner: Candidate) -> None:
    """Log the winner's model as a file, and in MLflow's format with signature and requirements.

    A model that Keras alone cannot load, such as one with layers of the search space's own, is
    logged as a file only.
    """
    target = study.folder / MODEL_FILE
    if has_no_model(winner):
        target.unlink(missing_ok=True)  # of an earlier winner
        journal.write("tags", tags={result_names.MODEL_PROBLEM: NO_MODEL})
        return
    if not winner.model.exists():
        raise UserError(
            f"the best trial's model, {_relative(winner.model)}, is gone; put it back, or search "
            "again in a new study"
        )
    content, digest = winner.model.read_bytes(), model_digest(winner.model)
    if _logged_digest(study) == digest and target.exists():
        return
    replace_file(target, lambda path: path.write_bytes(content))
    journal.write("artifact", path=MODEL_FILE)
    try:
        workers.call(partial(tasks.export, target, study.folder / MODEL_FOLDER))
    except CallLost as error:
        journal.write("tags", tags={result_names.MODEL_PROBLEM: str(error)[:500]})
        return
    journal.write(
        "model",
        path=MODEL_FOLDER,
        name=MODEL_FILE.removesuffix(".keras"),
        tags={
            tags.STUDY: study.name,
            tags.TRIAL: str(winner.trial.number),
            "sha256": digest,
        },
        params=configuration(study, winner),
    )


def _logged_digest(study: Study) -> str | None:
    """Return the digest of the model file that was logged last, if any.

    The event `model` is written last, so that a kill before it logs the model again.
    """
    models = [event for event in read(study.folder)[0] if event["event"] == "model"]
    if not models:
        return None
    digest: str | None = models[-1]["tags"].get("sha256")
    return digest


def run_id(folder: Path) -> str | None:
    """Return the id in MLflow of the run in `folder`, if it was delivered."""
    note = folder / "delivered.json"
    found: str | None = json.loads(note.read_text())["run"] if note.exists() else None
    return found


def summary(study: Study, deliverer: Deliverer, width: int = ANY_WIDTH) -> list[str]:
    """Return the lines that end a search: the winner, where to look, what to type next.

    Args:
        study: The study, which has a winner.
        deliverer: Of its runs.
        width: The characters in a line of the terminal. Commands and addresses may be longer.
    """
    ranked = candidates(study)
    winner, metric = ranked[0], study.objective.metric
    score = f"{metric} {number(winner.first)}"
    if winner.scores:
        score += f", confirmed {number(winner.score)} on {fresh_seeds(len(winner.scores))}"
    lines = ["", *textwrap.wrap(tally(study), width), *_confirmations(study, ranked, width)]
    if points := front.rows(study, ranked):
        lines += ["the front", *_table((front.columns(study), *points), width), ""]
    where = "a baseline" if is_baseline(study, winner.trial) else "found by the search"
    best = f"best of {study.name}: trial {winner.trial.number}, {where}, {score}"
    lines += textwrap.wrap(best, width)
    lines += _aligned(configuration(study, winner))
    model = f"none: {NO_MODEL}" if has_no_model(winner) else _relative(study.folder / MODEL_FILE)
    lines.append(f"model  {model}")
    lines.append(f"report {_relative(study.folder / REPORT_FILE)}")
    if deliverer.problem:
        lines.append(
            f"MLflow could not take everything ({deliverer.problem}); the runs are kept in "
            f"{_relative(study.folder)}, `mnist-cnn sync` delivers them"
        )
    else:
        lines.append("look   make ui, which opens the first of")
        lines += listed(deliverer.views, "http://127.0.0.1:5000")
    if not problem_of_promotion(study, winner):
        promote = f"make promote {study.plan.id.for_make}"
        lines.append(f"next   {front.how_to_promote(study) or promote}")
    return lines


def _confirmations(study: Study, ranked: Sequence[Candidate], width: int) -> list[str]:
    """Return the confirmations as a table for the terminal, and what it says in words."""
    sentences = textwrap.wrap(confirmation_table.summary(study, ranked), min(width, LINE_WIDTH))
    rows = confirmation_table.rows(study, ranked)
    if not rows:
        return sentences
    table = _table((confirmation_table.COLUMNS, *rows), width)
    return [f"confirmed on fresh seeds, by {study.objective.metric}", *table, *sentences, ""]


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table, the headers first, at most so many characters wide."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widths.pop()  # the last columns are the least important
    return ["  ".join(map(str.rjust, row, widths)).rstrip() for row in rows]


def _aligned(values: dict[str, Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"  {name:{width}}  {short(value)}" for name, value in values.items()]


def _relative(path: Path) -> Path:
    """Return the path relative to the current folder if it lies in there: it is shorter to type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def nothing_completed(study: Study) -> str:
    """Return the message for a study without a complete trial."""
    if broken := _nearest_to_constraints(study):
        return broken
    failed = study.trials.all(TrialState.FAIL)
    if not failed:
        return (
            f"{study.name}: no trial finished in time; type the same command again to continue, "
            "with TIMEOUT= for more time"
        )
    reason = failed[0].user_attrs.get("reason", "unknown")
    message = (
        f"{study.name}: no trial completed, {len(failed)} failed; trial {failed[0].number}: "
        f"{reason}"
    )
    page = study.folder / REPORT_FILE
    return f"{message}; all reasons: {_relative(page)}" if page.exists() else message


def _nearest_to_constraints(study: Study) -> str:
    """Return a message if trials have broken the constraints and none has kept them, or ""."""
    checked = [trial for trial in study.trials.finished() if not keeps_constraints(trial)]
    if not checked:
        return ""

    def excess(trial: FrozenTrial) -> float:
        return sum(max(0.0, violation) for violation in trial.constraints.values())

    nearest = min(checked, key=excess)
    return (
        f"{study.name}: no trial is complete and keeps the constraints; the nearest, trial "
        f"{nearest.number}, has {nearest.user_attrs.get('reason', '')}; widen the constraint, or "
        "the ranges of the search space"
    )
