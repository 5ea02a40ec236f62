"""The verb `evaluate`: a model's figures on some images, as a table in the terminal or as JSON."""

import json
import tempfile
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import Facts, check_name
from mnist_cnn.evaluation.lockbox import Opening
from mnist_cnn.evaluation.scores import Evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.registry import models, store
from mnist_cnn.registry.models import FoundModel
from mnist_cnn.report.text import print_text


def show_evaluation(
    model: str,
    data: str,
    worker: ModelWorker,
    *,
    as_json: bool = False,
    pictures: Path | None = None,
) -> None:
    """Evaluate the model that the user names on the data that the user names, and print it.

    pictures: a folder that gets the pictures; None for none. The training's curves are among them
    where it is known which run trained the model.

    Raises UsageError and UserError.
    """
    check_name(data)
    with tempfile.TemporaryDirectory() as folder:
        found = models.find(model, Path(folder))
        facts, weights = worker.examine(found.file, data)
        if pictures:
            _make(pictures)  # before the test set is opened
        opening = None
        if facts.lockbox:
            with store.answering():
                opening = lockbox.record(store.connect(), found, weights, facts, "evaluate")
        evaluation = worker.evaluate(found.file, data, pictures)
    run_id = opening.run_id if opening else found.run_id
    if pictures and run_id:
        with store.answering():
            client = store.connect()
            training = models.training_run(client, client.get_run(run_id), weights)
            models.download_curves(client, training, pictures)
    if as_json:
        print_text(json.dumps(_plain(found, facts, opening, evaluation), indent=2))
    else:
        print_text("\n".join([*_lines(found, facts, opening, evaluation), *_by_class(evaluation)]))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from None


def _plain(
    found: FoundModel, facts: Facts, opening: Opening | None, evaluation: Evaluation
) -> dict[str, Any]:
    return {
        "model": found.title,
        "model_sha256": found.digest,
        "data": facts.name,
        "data_sha256": facts.digest,
        "test_openings": opening and opening.count,
        **evaluation.figures(),
    }


def _lines(
    found: FoundModel, facts: Facts, opening: Opening | None, evaluation: Evaluation
) -> list[str]:
    scores = evaluation.scores
    rows = {
        "model": found.title,
        "data": f"{facts.name}, {scores.images:,} images, SHA-256 {facts.digest[:12]}…",
        "lockbox": opening.words if opening else "no test set; nothing is recorded",
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


def _by_class(evaluation: Evaluation) -> list[str]:
    rows = [("class", "images", "precision", "recall")]
    rows += [
        (str(item.label), str(item.images), _percent(item.precision), _percent(item.recall))
        for item in evaluation.scores.classes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["", *("  ".join(map(str.rjust, row, widths)) for row in rows)]


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
