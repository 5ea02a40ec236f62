"""The `predict` subcommand: the champion's predictions for picture files, as on the page."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mnist_cnn.datasets.naming import printable
from mnist_cnn.datasets.paths.tree import files_under, is_picture, root_of, shown
from mnist_cnn.datasets.pictures.decoder import MAX_BYTES, UnreadablePicture, decode
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import DEFAULT, ExperimentId
from mnist_cnn.registry import store
from mnist_cnn.report.text import print_text
from mnist_cnn.serving import reading
from mnist_cnn.serving.champion import Champion, load_champion
from mnist_cnn.serving.refusal import Refusal

Format = Literal["table", "csv", "json"]


@dataclass(frozen=True)
class Row:
    """The prediction for one file.

    Attributes:
        file: Its path, as the user wrote it.
        label: The name of the class, or the digits as one string; "" for a blank picture.
        confidence: The probability of the class, the least one of several digits; 0 for a blank
            picture.
        doubtful: Whether the confidence is low, or the digits may be split wrongly.
        predictions: As in the API, see `serving.schemas.Prediction`.
    """

    file: str
    label: str
    confidence: float
    doubtful: bool
    predictions: list[dict[str, Any]]


def show_predictions(
    files: Sequence[str], output: Format = "table", model_name: str | None = None
) -> None:
    """Print the champion's predictions for pictures.

    Args:
        files: Pictures, and folders of pictures.
        output: A table, or all predictions as CSV or JSON.
        model_name: The registered model, see `registry.store.choose`.

    Raises:
        UsageError: There is no such file or model. Nothing is printed.
        UserError: Some pictures cannot be read. The predictions for the others are printed first.
    """
    paths = [path for file in files for path in _pictures(file)]
    with store.answering():
        champion = load_champion(store.connect(ExperimentId(DEFAULT)), model_name)
    rows, problems = [], []
    for path in paths:
        try:
            rows.append(predict(champion, path))
        except (UnreadablePicture, Refusal, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"{printable(str(path))} cannot be read: {reason}")
    print_text(_FORMATS[output](rows))
    if problems:
        more = f"; and {len(problems) - 1:,} more" if problems[1:] else ""
        raise UserError(f"{problems[0]}{more}")


def predict(champion: Champion, path: Path) -> Row:
    """Return the champion's prediction for a picture file.

    Raises:
        UnreadablePicture: It is not a picture, or damaged.
        Refusal: It shows more than one line of digits.
        OSError: It cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnreadablePicture("large", f"it has more than {MAX_BYTES:,} bytes")
    picture = decode(path.read_bytes(), side=reading.working_side(champion.info))
    parsed = reading.parse(picture, champion.info)
    probabilities = np.zeros((0, champion.info.classes), np.float32)
    if len(parsed.images):
        probabilities = champion.predictor(parsed.images)
    answer = parsed.answer(probabilities, champion.info)
    predictions = answer["predictions"]
    number = answer["number"]
    return Row(
        file=str(path),
        label=predictions[0]["label"] if number is None else number,
        confidence=min((each["confidence"] for each in predictions), default=0.0),
        doubtful=not predictions or any(each["doubtful"] for each in predictions),
        predictions=predictions,
    )


def _pictures(file: str) -> Iterator[Path]:
    root = root_of(file)
    given = Path(file).expanduser()
    if root.is_file():
        yield given
        return
    found = [given / path.relative_to(root) for path in files_under(root, root) if is_picture(path)]
    if not found:
        raise UsageError(f"{shown(root)} has no pictures")
    yield from found


def _table(rows: Sequence[Row]) -> str:
    lines = [("file", "label", "confidence", "")]
    lines += [
        (
            printable(row.file),
            printable(row.label) or "nothing to classify",
            f"{row.confidence:.2%}" if row.predictions else "",
            "doubtful" if row.doubtful else "",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{file:{widths[0]}}  {label:{widths[1]}}  {confidence:>{widths[2]}}  {doubt}".rstrip()
        for file, label, confidence, doubt in lines
    )


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", "label", "confidence", "doubtful"])
    for row in rows:
        lines.writerow([row.file, row.label, row.confidence, str(row.doubtful).lower()])
    return text.getvalue().rstrip("\n")


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([vars(row) for row in rows], indent=2, ensure_ascii=False)


_FORMATS = {"table": _table, "csv": _csv, "json": _json}
