"""The model card: a version's description in the registry, in Markdown."""

import subprocess
from importlib.metadata import version
from pathlib import Path

from mlflow.entities import Run

from mnist_cnn.datasets.naming import short, some
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.mlruns import own_folder
from mnist_cnn.objectives import ACCURACY
from mnist_cnn.promotion.candidate import Candidate
from mnist_cnn.report import result_names
from mnist_cnn.report.text import fresh_seeds, number
from mnist_cnn.retrain import recorded
from mnist_cnn.tracking import tags

MAX_LENGTH = 5000  # characters; MLflow's limit on a description


def write(candidate: Candidate, gate: str) -> str:
    """Return the card of a model that was tested.

    Args:
        candidate: The model and its test.
        gate: The gate's decision in words.
    """
    evaluation, scores = candidate.evaluation, candidate.evaluation.scores
    run = candidate.chosen.run
    lines = [
        f"**{candidate.chosen.name}**, model SHA-256 `{candidate.model.digest}`",
        "",
        "### Test",
        f"- {candidate.info.name}: {scores.summary}",
        f"- expected calibration error {scores.calibration_error:.2%}",
        *(f"- {line}" for line in [candidate.calibration_summary] if line),
        f"- {candidate.cost_summary}; on the machine that promoted it",
        f"- {candidate.opening.summary}",
        "",
        "### Gate",
        f"- {gate}",
        "",
        "### Confirmation",
        *_confirmation(candidate),
        "",
        "### Data",
        *_training_data(candidate.training),
        f"- tested on {candidate.info.name}, SHA-256 `{candidate.info.digest}`",
        *_classes(candidate.info),
        "",
        "### Replay",
        *(f"- `mnist-cnn replay {run_id}`" for run_id in _training_runs(candidate)),
        f"- trained with {', '.join(f'{n} {v}' for n, v in _versions(candidate.training).items())}",
        f"- promoted with {_code_version()}",
        "",
        "### Parameters",
        f"- weights: {evaluation.parameters:,}",
        *(f"- {name}: {value}" for name, value in _hyperparameters(run).items()),
    ]
    text = "\n".join(lines)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 2] + "\n…"


def _training_runs(candidate: Candidate) -> list[str]:
    """Return the ids of the runs that trained the model, or the members of an ensemble."""
    members = candidate.chosen.members
    return [str(each.run_id) for each in members] or [candidate.training.info.run_id]


def _confirmation(candidate: Candidate) -> list[str]:
    """Return a line for each objective on which the winner was selected, if the run has any."""
    run = candidate.chosen.run
    metrics = sorted(filter(None, map(result_names.metric_of_first_score, run.data.metrics)))
    if metrics:
        lines = [f"- {metric}: {_confirmed_score(run, metric)}" for metric in metrics]
        accuracy = run.data.metrics.get(result_names.best(ACCURACY))
        if ACCURACY not in metrics and accuracy is not None:
            lines.append(f"- {ACCURACY} of the same trainings: {number(accuracy)}")
        return lines
    if candidate.chosen.members:
        return [f"- an average of {len(candidate.chosen.members)} trainings on fresh seeds"]
    if run.data.tags.get(tags.KIND) == "confirmation":
        return ["- trained again on a fresh seed, after its configuration was selected"]
    return ["- none: this is a single training, and its score may be luck"]


def _confirmed_score(run: Run, metric: str) -> str:
    found = run.data.metrics
    text = f"first score {number(found[result_names.first_score(metric)])}"
    mean = found.get(result_names.best(metric))
    seeds = run.data.tags.get(result_names.CONFIRMATIONS, "0")
    if mean is None or seeds == "0":
        return text
    text += f", mean of {fresh_seeds(seeds)} {number(mean)}"
    # With one seed there is no deviation; then the metric is an earlier winner's.
    deviation = found.get(result_names.deviation(metric))
    if deviation is not None and seeds != "1":
        text += f", standard deviation {deviation:.2g}"
    optimism = found.get(result_names.optimism(metric))
    if optimism is not None:
        better = "better" if optimism >= 0 else "worse"
        text += f"; the first score was {abs(optimism):.2g} {better}"
    return text


def _training_data(training: Run) -> list[str]:
    """Return a line for each data set: its training and validation part have the same name."""
    digests = {}
    for entry in training.inputs.dataset_inputs:
        name, _, part = entry.dataset.name.rpartition(" ")
        digests[name or part] = entry.dataset.digest
    return [f"- trained on {name}, SHA-256 `{digest}`…" for name, digest in digests.items()]


def _classes(info: DataInfo) -> list[str]:
    if not info.class_names:
        return []
    names = some([short(name, 40) for name in info.class_names], 40)
    return [f"- {len(info.class_names)} classes: {names}"]


def _hyperparameters(run: Run) -> dict[str, str]:
    """Return the hyperparameters by KerasTuner's names.

    Those that only an earlier winner of the study had are tags without text.
    """
    best = {
        name.removeprefix(result_names.PARAMETER): text
        for name, text in run.data.tags.items()
        if name.startswith(result_names.PARAMETER) and text
    }
    return best or dict(run.data.params)


def _versions(training: Run) -> dict[str, str]:
    """Return the versions with which the model was trained, as far as they are known.

    They are in the journal of the run. On another machine, they are in a tag, if MLflow has not cut
    it off.
    """
    folder = own_folder(training.data.tags.get(tags.JOURNAL, ""))
    local = recorded(folder) if folder else None
    recipe = local.recipe if local else tags.json_object(training.data.tags.get(tags.RECIPE, ""))
    versions = recipe.get("versions")
    return versions if isinstance(versions, dict) else {"unknown": "versions"}


def _code_version() -> str:
    """Return the package's version, and its git commit if it is installed from a repository."""
    text = f"mnist-cnn {version('mnist-cnn')}"
    here = Path(__file__).parent
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", cwd=here)
        changed = _git("status", "--porcelain", "--untracked-files=no", cwd=here)
    except (OSError, subprocess.SubprocessError):
        return text  # installed from a wheel, or git is missing
    return f"{text}, git {commit}{' with changes' if changed else ''}"


def _git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
