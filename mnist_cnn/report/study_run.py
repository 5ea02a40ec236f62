"""A study's own run in MLflow: the best model, the five best trials in words, the report."""

import hashlib
import json
import textwrap
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from optuna.trial import TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.report import confirmation_table
from mnist_cnn.report.history import run_histories, values_of
from mnist_cnn.report.page import report_page
from mnist_cnn.report.plots import draw_pictures
from mnist_cnn.report.text import STATE_WORDS, fresh_seeds, number, short
from mnist_cnn.report.text import configuration as in_words
from mnist_cnn.study.confirmation import Candidate, candidates
from mnist_cnn.study.screening import LOOKED_AT
from mnist_cnn.study.study import Study
from mnist_cnn.tracking.client import NOTE
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.training import tasks
from mnist_cnn.workers.pool import CallLost, Workers

REPORT_FILE = "report.html"


def begin(study: Study) -> Journal:
    """Open the study's run, or open it again."""
    journal = Journal(study.folder)
    journal.write(
        "start",
        name=study.name,
        tags={"kind": "study", "optuna.study": study.name},
        params=dict(study.plan.description),
    )
    return journal


def publish(study: Study, journal: Journal, workers: Workers) -> Candidate | None:
    """Write what the study found into its run; returns the winner, None if no trial completed.

    The report and the description are made anew each time; the model only when it is another.
    """
    ranked = candidates(study)
    if ranked:
        _winner(study, journal, workers, ranked)
    write_report(study, journal, ranked)
    return ranked[0] if ranked else None


def write_report(study: Study, journal: Journal, ranked: list[Candidate]) -> None:
    """Draw the pictures and write the page that holds them; both go to the study's run."""
    histories = run_histories(study.folder)
    pictures = draw_pictures(study, ranked, histories)
    values = configuration(study, ranked[0]) if ranked else {}
    run_id = _run_id(ranked[0].model.parent) if ranked else None
    page = report_page(study, ranked, histories, pictures, values, run_id)
    (study.folder / REPORT_FILE).write_text(page, encoding="utf-8")
    for path in [picture.path for picture in pictures if not picture.problem]:
        journal.write("artifact", path=path.name)
    journal.write("artifact", path=REPORT_FILE)


def _winner(study: Study, journal: Journal, workers: Workers, ranked: list[Candidate]) -> None:
    winner = ranked[0]
    metric = study.objective.metric
    params = configuration(study, winner)
    tags = {
        NOTE: description(study, ranked),
        "best.trial": str(winner.trial.number),
        "best.confirmations": str(len(winner.scores)),
        **{f"best.param.{name}": str(value) for name, value in params.items()},
    }
    journal.write("tags", tags=tags)
    scores = {f"best_{metric}": winner.score, f"best_{metric}_first_score": winner.first}
    if winner.scores:
        scores[f"best_{metric}_flattered_by"] = confirmation_table.flattery(study, winner)
    if winner.deviation is not None:
        scores[f"best_{metric}_standard_deviation"] = winner.deviation
    journal.write("metrics", step=len(study.finished()), metrics=scores)
    (study.folder / "best_params.json").write_text(json.dumps(params, indent=2) + "\n")
    journal.write("artifact", path="best_params.json")
    _model(study, journal, workers, winner, params)


def configuration(study: Study, candidate: Candidate) -> dict[str, object]:
    """The hyperparameters as the space saw them, by KerasTuner's names."""
    events, _ = read(study.trial_folder(candidate.trial.number))
    return values_of(events)


def description(study: Study, ranked: list[Candidate]) -> str:
    """The study in Markdown: counts, the five best trials, how they were confirmed."""
    metric = study.objective.metric
    counts = ", ".join(
        f"{len(study.trials(state))} {STATE_WORDS[state]}"
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    lines = [
        f"**{study.name}**: {counts} trials. "
        f"The best model is the artifact `{MODEL_FILE}`; `make promote "
        f"EXPERIMENT={study.plan.name}` registers it.",
    ]
    if rows := confirmation_table.rows(study, ranked):
        lines += ["", f"**Confirmed on fresh seeds, by {metric}**", ""]
        lines += _markdown(confirmation_table.COLUMNS, rows)
    lines += ["", confirmation_table.in_words(study, ranked)]
    best = [
        (str(candidate.trial.number), number(candidate.first), _configured(study, candidate))
        for candidate in ranked[:5]
    ]
    lines += ["", "**The best configurations**", ""]
    lines += _markdown(("trial", f"{metric}, first score", "configuration"), best)
    return "\n".join(lines)


def _configured(study: Study, candidate: Candidate) -> str:
    return in_words(configuration(study, candidate))


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in escaped]


def _model(
    study: Study, journal: Journal, workers: Workers, winner: Candidate, params: dict[str, object]
) -> None:
    """Log the winner's file, and as a model in MLflow's format with signature and requirements.

    A model with layers that Keras alone cannot load, as a space's own, is logged as a file only.
    """
    target = study.folder / MODEL_FILE
    if not winner.model.exists():
        raise UserError(
            f"the best trial's model, {_shown(winner.model)}, is gone; put it back, or begin anew "
            "with another study"
        )
    content = winner.model.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    models = [event for event in read(study.folder)[0] if event["event"] == "model"]
    if models and models[-1]["tags"].get("sha256") == digest:
        return  # logged before; its event is written last, so that a kill in between leaves none
    partly = target.with_suffix(".part")
    partly.write_bytes(content)
    partly.replace(target)
    journal.write("artifact", path=MODEL_FILE)
    try:
        workers.call(partial(tasks.export, target, study.folder / "model"))
    except CallLost as error:
        journal.write("tags", tags={"model.problem": str(error)[:500]})
        return
    journal.write(
        "model",
        path="model",
        name=MODEL_FILE.removesuffix(".keras"),
        tags={
            "optuna.study": study.name,
            "optuna.trial": str(winner.trial.number),
            "sha256": digest,
        },
        params=params,
    )


def _run_id(folder: Path) -> str | None:
    """The id of a run in MLflow, if it was delivered."""
    note = folder / "delivered.json"
    run_id: str | None = json.loads(note.read_text())["run"] if note.exists() else None
    return run_id


def _shown(path: Path) -> Path:
    """The path as short as it can be typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def summary(study: Study, deliverer: Deliverer) -> list[str]:
    """What the user reads at the end: the winner, where to look, what to type."""
    ranked = candidates(study)
    winner, metric = ranked[0], study.objective.metric
    score = f"{metric} {number(winner.first)}"
    if winner.scores:
        score += f", confirmed {number(winner.score)} on {fresh_seeds(len(winner.scores))}"
    params = configuration(study, winner)
    width = max(map(len, params), default=0)
    lines = ["", *_confirmations(study, ranked)]
    lines.append(f"best of {study.name}: trial {winner.trial.number}, {score}")
    lines += [f"  {name:{width}}  {short(value)}" for name, value in params.items()]
    lines.append(f"model  {_shown(study.folder / MODEL_FILE)}")
    lines.append(f"report {_shown(study.folder / REPORT_FILE)}")
    if deliverer.problem:
        lines.append(
            f"MLflow could not take everything ({deliverer.problem}); the runs are kept in "
            f"{_shown(study.folder)}, `mnist-cnn sync` delivers them"
        )
    else:
        page = f"/#/experiments/{deliverer.experiment_id}?workflowType=machine_learning"
        lines.append(f"look   make ui, then http://127.0.0.1:5000{page}")
    lines.append(f"next   make promote EXPERIMENT={study.plan.name}")
    return lines


def _confirmations(study: Study, ranked: Sequence[Candidate]) -> list[str]:
    """The table of the confirmations in the terminal; nothing if there were to be none."""
    words = textwrap.wrap(confirmation_table.in_words(study, ranked), 90)
    rows = confirmation_table.rows(study, ranked)
    if not rows:
        return words
    widths = [
        max(map(len, column)) for column in zip(confirmation_table.COLUMNS, *rows, strict=True)
    ]
    table = ["  ".join(map(str.rjust, row, widths)) for row in (confirmation_table.COLUMNS, *rows)]
    return [f"confirmed on fresh seeds, by {study.objective.metric}", *table, *words, ""]


def nothing_completed(study: Study) -> str:
    """The message for a study without a single complete trial."""
    failed = study.trials(TrialState.FAIL)
    finished = study.finished()
    looks = sum(LOOKED_AT in trial.user_attrs for trial in finished)
    if looks and len(finished) >= study.wanted_trials(None):
        return (
            f"{study.name}: configurations looked at: {looks}, tried in full: none; "
            f"`make search EXPERIMENT={study.plan.name} STUDY={study.name} TRIALS=` more than "
            f"{len(finished)} goes on"
        )
    if not failed:
        return (
            f"{study.name}: no trial came to its end in time; the same command goes on with those "
            "begun, give it more with TIMEOUT="
        )
    reason = failed[0].user_attrs.get("reason", "unknown")
    first = f"trial {failed[0].number}: {reason}"
    page = study.folder / REPORT_FILE
    more = f"; all reasons: {_shown(page)}" if page.exists() else ""
    return f"{study.name}: no trial completed, {len(failed)} failed; {first}{more}"
