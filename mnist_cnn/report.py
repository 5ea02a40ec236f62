"""A study's own run in MLflow: the best model, the five best trials in words, and the pictures."""

import json
import warnings
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import TrialState

from mnist_cnn import figures, tasks
from mnist_cnn.confirmation import Candidate, candidates
from mnist_cnn.journal import Journal, read
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.study import Study
from mnist_cnn.tracking import NOTE, Deliverer
from mnist_cnn.workers import Workers


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

    The pictures and the description are made anew each time; the model only when it is another.
    """
    pictures(study, journal)
    ranked = candidates(study)
    if not ranked:
        return None
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
    journal.write(
        "metrics",
        step=len(study.finished()),
        metrics={
            f"best_{metric}": winner.score,
            f"best_{metric}_first_score": float(winner.trial.values[0]),
        },
    )
    (study.folder / "best_params.json").write_text(json.dumps(params, indent=2) + "\n")
    journal.write("artifact", path="best_params.json")
    _model(study, journal, workers, winner, params)
    return winner


def configuration(study: Study, candidate: Candidate) -> dict[str, object]:
    """The hyperparameters as the space saw them, by KerasTuner's names."""
    events, _ = read(study.trial_folder(candidate.trial.number))
    return dict(next(event["values"] for event in events if event["event"] == "start"))


def description(study: Study, ranked: list[Candidate]) -> str:
    """The study in Markdown: counts, the five best trials, how they were confirmed."""
    metric = study.objective.metric
    counts = ", ".join(
        f"{len(study.trials(state))} {state.name.lower()}"
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    lines = [
        f"**{study.name}**: {counts} trials. "
        f"The best model is the artifact `{MODEL_FILE}`; `make promote "
        f"EXPERIMENT={study.plan.name}` registers it.",
        "",
        f"| trial | {metric} | confirmed, mean of fresh seeds | seeds | configuration |",
        "|---|---|---|---|---|",
    ]
    for candidate in ranked[:5]:
        mean = f"{candidate.score:.4f}" if candidate.scores else ""
        params = ", ".join(f"{k}={_short(v)}" for k, v in candidate.trial.params.items())
        lines.append(
            f"| {candidate.trial.number} | {candidate.trial.values[0]:.4f} | {mean} "
            f"| {len(candidate.scores) or ''} | {params} |"
        )
    return "\n".join(lines)


def pictures(study: Study, journal: Journal) -> None:
    """Draw the study's pictures that it has trials enough for."""
    trials, objective = study.finished(), study.objective
    made = {
        "optimisation_history.png": figures.optimisation_history(trials, objective),
        "learning_curves.png": figures.learning_curves(trials, objective),
    }
    if len(study.trials(TrialState.COMPLETE)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's note that its importances are approximate
            shares = optuna.importance.get_param_importances(study.optuna_study)
        if shares:
            made["importances.png"] = figures.importances(shares)
    for name, figure in made.items():
        figures.save(figure, study.folder / name)
        journal.write("artifact", path=name)


def _model(
    study: Study, journal: Journal, workers: Workers, winner: Candidate, params: dict[str, object]
) -> None:
    """Log the winner's file, and as a model in MLflow's format with signature and requirements."""
    target = study.folder / MODEL_FILE
    content = winner.model.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return  # logged before
    partly = target.with_suffix(".part")
    partly.write_bytes(content)
    partly.replace(target)
    journal.write("artifact", path=MODEL_FILE)
    workers.call(partial(tasks.export, target, study.folder / "model"))
    journal.write(
        "model",
        path="model",
        name=MODEL_FILE.removesuffix(".keras"),
        tags={"optuna.study": study.name, "optuna.trial": str(winner.trial.number)},
        params=params,
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def summary(study: Study, winner: Candidate, deliverer: Deliverer) -> list[str]:
    """What the user reads at the end: the winner, where to look, what to type."""
    metric = study.objective.metric
    score = f"{metric} {winner.trial.values[0]:.4f}"
    if winner.scores:
        score += f", confirmed {winner.score:.4f} on {len(winner.scores)} fresh seeds"
    params = configuration(study, winner)
    width = max(map(len, params), default=0)
    lines = ["", f"best of {study.name}: trial {winner.trial.number}, {score}"]
    lines += [f"  {name:{width}}  {_short(value)}" for name, value in params.items()]
    lines.append(f"model  {(study.folder / MODEL_FILE).relative_to(Path.cwd())}")
    if deliverer.problem:
        lines.append(
            f"MLflow could not take everything ({deliverer.problem}); the runs are kept in "
            f"{study.folder.relative_to(Path.cwd())}, `mnist-cnn sync` delivers them"
        )
    else:
        page = f"/#/experiments/{deliverer.experiment_id}?workflowType=machine_learning"
        lines.append(f"look   make ui, then http://127.0.0.1:5000{page}")
    lines.append(f"next   make promote EXPERIMENT={study.plan.name}")
    return lines


def nothing_completed(study: Study) -> str:
    """The message for a study without a single complete trial."""
    failed = study.trials(TrialState.FAIL)
    if not failed:
        return f"{study.name}: no trial came to its end in time; give it more with TIMEOUT="
    reason = failed[0].user_attrs.get("reason", "unknown")
    first = f"trial {failed[0].number}: {reason}"
    return f"{study.name}: no trial completed, {len(failed)} failed; {first}"
