"""The model card: a version's description in the registry, in Markdown."""

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from mlflow.entities import Run

from mnist_cnn.promotion.candidate import Candidate
from mnist_cnn.report.text import fresh_seeds

MAX_LENGTH = 5000  # of a description in MLflow's database


def write(candidate: Candidate, gate: str) -> str:
    """The card of a model that was tested. gate: its decision in words."""
    run, training, facts = candidate.run, candidate.training, candidate.facts
    # The run has the training and the validation part of one data set, named after it.
    trained_on = {
        entry.dataset.name.rpartition(" ")[0] or entry.dataset.name: entry.dataset.digest
        for entry in training.inputs.dataset_inputs
    }
    evaluation, scores = candidate.evaluation, candidate.evaluation.scores
    lines = [
        f"**{run.info.run_name}**, model SHA-256 `{candidate.model.digest}`",
        "",
        "### Test",
        f"- {facts.name}: {scores.words}",
        f"- expected calibration error {scores.calibration_error:.2%}",
        f"- {evaluation.single_image_ms:.2f} ms for one image, {evaluation.batch_ms:.1f} ms for "
        f"{evaluation.batch_images}, on the machine that promoted it",
        f"- {candidate.opening}",
        "",
        "### Gate",
        f"- {gate}",
        "",
        "### Confirmation",
        *confirmation(run),
        "",
        "### Data",
        *(f"- trained on {name}, SHA-256 `{digest}`…" for name, digest in trained_on.items()),
        f"- tested on {facts.name}, SHA-256 `{facts.digest}`",
        "",
        "### Replay",
        f"- `mnist-cnn replay {training.info.run_id}`",
        f"- trained with {', '.join(f'{n} {v}' for n, v in versions(training).items())}",
        f"- promoted with {code_version()}",
        "",
        "### Parameters",
        f"- weights: {evaluation.parameters:,}",
        *(f"- {name}: {value}" for name, value in parameters(run).items()),
    ]
    text = "\n".join(lines)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 2] + "\n…"


def confirmation(run: Run) -> list[str]:
    """How much the selection had flattered the model, as far as its run tells."""
    metrics: Mapping[str, float] = run.data.metrics
    lines = []
    for name in sorted(metrics):
        if name.startswith("best_") and name.endswith("_first_score"):
            metric = name.removeprefix("best_").removesuffix("_first_score")
            mean, seeds = metrics.get(f"best_{metric}"), run.data.tags.get("best.confirmations")
            lines.append(f"- {metric}: first score {metrics[name]:.4f}")
            if mean is not None and seeds not in (None, "0"):
                lines[-1] += f", mean of {fresh_seeds(seeds)} {mean:.4f}"
                spread = metrics.get(f"best_{metric}_standard_deviation")
                flattered = metrics.get(f"best_{metric}_flattered_by")
                # Of one seed there is none; the metric is then of an earlier winner of the study.
                if spread is not None and seeds != "1":
                    lines[-1] += f", standard deviation {spread:.2g}"
                if flattered is not None:
                    better = "better" if flattered >= 0 else "worse"
                    lines[-1] += f"; the first score was {abs(flattered):.2g} {better}"
    return lines or ["- none: this is a single training, and its score may be luck"]


def parameters(run: Run) -> dict[str, str]:
    """The hyperparameters by KerasTuner's names."""
    best = {
        name.removeprefix("best.param."): text
        for name, text in run.data.tags.items()
        if name.startswith("best.param.")
    }
    return best or dict(run.data.params)


def versions(training: Run) -> dict[str, str]:
    """What the model was trained with, as far as its run tells."""
    recipe = json.loads(training.data.tags.get("recipe", "{}"))
    return dict(recipe.get("versions", {"unknown": "versions"}))


def code_version() -> str:
    """The package's version, and its git commit where it lies in a repository."""
    text = f"mnist-cnn {version('mnist-cnn')}"
    here = Path(__file__).parent
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", cwd=here)
        changed = _git("status", "--porcelain", "--untracked-files=no", cwd=here)
    except (OSError, subprocess.SubprocessError):
        return text  # installed from a wheel, or no git
    return f"{text}, git {commit}{' with changes' if changed else ''}"


def _git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
