"""The verb `evaluate`: a model's scores on some images, as a table in the terminal or as JSON."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_cnn import known_data
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo, check_name
from mnist_cnn.evaluation.lockbox import Opening
from mnist_cnn.evaluation.scores import Evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import DEFAULT, ExperimentId, resolved
from mnist_cnn.registry import models, store
from mnist_cnn.registry.models import FoundModel
from mnist_cnn.report.text import counted, in_columns, print_text


@dataclass(frozen=True)
class _Result:
    """What is printed. opening: None if no test set was opened."""

    model: FoundModel
    data: DataInfo
    opening: Opening | None
    evaluation: Evaluation


def show_evaluation(
    model: str,
    data: str,
    worker: ModelWorker,
    *,
    as_json: bool = False,
    pictures: Path | None = None,
    model_name: str | None = None,
) -> None:
    """Evaluate a model and print the scores.

    Args:
        model: See `registry.models.find`.
        data: See `evaluation.data.find`.
        worker: Loads and runs the model.
        as_json: Whether to print JSON instead of a table.
        pictures: The folder for plots and image grids; None for none. The learning curves are among
            them if it is known which run trained the model.
        model_name: The registered model that has the alias `model`, see `registry.store.choose`.

    Raises:
        UsageError: Unknown model or data.
        UserError: The model cannot be evaluated on these data, or `pictures` cannot be written.
    """
    check_name(data)
    with tempfile.TemporaryDirectory() as folder:
        found = models.find(model, Path(folder), model_name)
        names = found.answers.class_names
        info, weights = worker.examine(found.file, data, names)
        if not info.is_test_set and _was_searched(found, data, info):
            known_data.dataset_at(resolved(data))  # from now on, `data` means its test images
            info, weights = worker.examine(found.file, data, names)
        if pictures:
            _create(pictures)  # before the test set is opened
        opening = None
        if info.is_test_set:
            with store.answering():
                opening = lockbox.record(store.connect(), found, weights, info, "evaluate")
        evaluation = worker.evaluate(found.file, data, pictures, names)
    result = _Result(found, info, opening, evaluation)
    if as_json:
        print_text(json.dumps(_json(result), indent=2))
    else:
        notes = [f"note: {line}" for line in evaluation.warnings]
        print_text("\n".join([*_overview(result), *notes, "", *_class_table(result)]))
    run_id = opening.run_id if opening else found.run_id
    if pictures and run_id:
        _add_curves(run_id, weights, pictures)


def _was_searched(model: FoundModel, data: str, info: DataInfo) -> bool:
    """Return whether a search has used the data at a path, by the runs that MLflow has.

    This machine may not know it: the path is another one, or mlruns/data/ was removed. Otherwise
    the model would be asked about its own training images.
    """
    try:
        with store.answering():
            client = store.connect(ExperimentId(DEFAULT))
            return lockbox.was_searched(client, resolved(data), info)
    except UserError:
        if model.run_id:  # MLflow has just answered
            raise
        return False  # a file needs no MLflow


def _create(folder: Path) -> None:
    """Create a folder into which files can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from None


def _add_curves(run_id: str, weights: str, pictures: Path) -> None:
    """Add the learning curves of the training, if they are still in MLflow."""
    with store.answering():
        client = store.connect()
        if run := models.known_run(client, run_id):
            models.download_curves(client, models.training_run(client, run, weights), pictures)


def _json(result: _Result) -> dict[str, Any]:
    return {
        "model": result.model.title,
        "model_sha256": result.model.digest,
        "data": result.data.name,
        "data_sha256": result.data.digest,
        "test_openings": result.opening.count if result.opening else None,
        "class_names": list(result.data.class_names) or None,
        "warnings": list(result.evaluation.warnings),
        **result.evaluation.as_json(),
    }


def _overview(result: _Result) -> list[str]:
    evaluation, scores = result.evaluation, result.evaluation.scores
    rows = {
        "model": result.model.title,
        "data": f"{result.data.name}, {counted(scores.images, 'image')}, SHA-256 "
        f"{result.data.digest[:12]}…",
        "test set": result.opening.reader if result.opening else "no, so this is not recorded",
        "accuracy": f"{scores.accuracy:.2%}, 95 % interval {scores.accuracy_low:.2%} to "
        f"{scores.accuracy_high:.2%}",
        "loss": f"{scores.loss:.4f} nats",
        "calibration error": f"{scores.calibration_error:.2%} (expected, 15 bins)",
        "latency": f"{evaluation.single_image_ms:.2f} ms for one image, "
        f"{evaluation.batch_ms:.1f} ms for {evaluation.batch_images} (medians)",
        "parameters": f"{evaluation.parameters:,}",
    }
    width = max(map(len, rows))
    return [f"{name:{width}}  {text}" for name, text in rows.items()]


def _class_table(result: _Result) -> list[str]:
    rows = [("class", "images", "precision", "recall")]
    rows += [
        (
            _class_name(result, item.label),
            str(item.images),
            _percent(item.precision),
            _percent(item.recall),
        )
        for item in result.evaluation.scores.classes
    ]
    return in_columns(rows)


def _class_name(result: _Result, label: int) -> str:
    return result.data.class_names[label] if result.data.class_names else str(label)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
