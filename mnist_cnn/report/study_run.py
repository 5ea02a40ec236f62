"""A study's own run in MLflow: the best model, the report, the description.

`search_process` calls `begin` when a search starts, and `publish` when it ends.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mnist_cnn.errors import UserError
from mnist_cnn.files import replace_file
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import DELIVERED_FILE, MODEL_FILE
from mnist_cnn.objectives import ACCURACY
from mnist_cnn.report import confirmation_table, front, result_names
from mnist_cnn.report.description import (
    NO_MODEL,
    configuration,
    description,
    has_no_model,
)
from mnist_cnn.report.history import run_histories
from mnist_cnn.report.page import report_page
from mnist_cnn.report.plots import draw_plots
from mnist_cnn.report.text import from_here
from mnist_cnn.report.view_facts import view_facts
from mnist_cnn.study.candidates import Candidate, candidates
from mnist_cnn.study.study import Study
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.training import tasks
from mnist_cnn.workers.pool import CallLost, Pool

REPORT_FILE = "report.html"
PARAMETERS_FILE = "best_params.json"
MODEL_FOLDER = "model"  # the best model in MLflow's format


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
        The winner, or None if no trial is complete within the constraints.

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
        ranked: The candidates, the winner first; empty if there is no winner.
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
    result = _without_text(study)
    result |= {
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
        scores[result_names.optimism(metric)] = confirmation_table.optimism(study.objective, winner)
    if winner.deviation is not None:
        scores[result_names.deviation(metric)] = winner.deviation
    if (accuracy := confirmation_table.accuracy_beside(study, winner)) is not None:
        scores[result_names.best(ACCURACY)] = accuracy
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


def _without_text(study: Study) -> dict[str, str]:
    """Return the tags of earlier winners without their text: MLflow keeps what is not replaced."""
    found = [event["tags"] for event in read(study.folder)[0] if event["event"] == "tags"]
    return {
        name: ""
        for tags_of_winner in found
        for name in tags_of_winner
        if name.startswith((result_names.PARAMETER, result_names.MODEL_PROBLEM))
    }


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
            f"the best trial's model, {from_here(winner.model)}, is gone; put it back, or search "
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
    note = folder / DELIVERED_FILE
    found: str | None = json.loads(note.read_text())["run"] if note.exists() else None
    return found
