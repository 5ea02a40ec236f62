"""A study's trials: as a table in the terminal, as CSV for a spreadsheet, as JSON."""

import csv
import io
import json
import math
import shutil
import textwrap
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import check_name
from mnist_cnn.mlruns import checkpoints
from mnist_cnn.report.history import RunHistory, of_trials, run_histories
from mnist_cnn.report.text import STATE_WORDS, configuration, duration, number, show
from mnist_cnn.study.storage import default_storage, exists, open_storage
from mnist_cnn.study.study import study_names

SHOWN = 20

Form = Literal["table", "csv", "json"]


@dataclass(frozen=True)
class TrialRecord:
    """A trial as CSV and JSON have it.

    state: Optuna's. values: of each objective; None where there is none, or no finite one.
    epochs, duration_seconds: that it was trained, interruptions left out.
    params: as the space saw them. reason: why it ended early.
    """

    number: int
    state: str
    values: dict[str, float | None]
    epochs: int
    duration_seconds: float | None
    params: dict[str, Any]
    reason: str


def show_trials(
    experiment: str, name: str | None, storage: str | None, form: Form = "table"
) -> None:
    """Print the trials of a study, by default the experiment's newest.

    form: the best ones as a table, or all of them by number as CSV or JSON.

    Raises UsageError for an unknown study, UserError if there is none.
    """
    study = _load(experiment, name, storage)
    records = trial_records(study)
    if form == "table":
        show(_table(study, records))
    elif form == "csv":
        show(as_csv(study, sorted(records, key=lambda record: record.number)))
    else:
        show(as_json(study, sorted(records, key=lambda record: record.number)))


def trial_records(study: optuna.Study) -> list[TrialRecord]:
    """All trials: complete ones first and best first, then pruned, failed and others."""
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    order += [TrialState.RUNNING, TrialState.WAITING]
    trials = sorted(
        study.get_trials(deepcopy=False),
        key=lambda t: (order.index(t.state), sign * t.values[0] if t.values else 0, t.number),
    )
    histories = of_trials(run_histories(checkpoints() / study.study_name))
    return [_record(trial, _metrics(study), histories.get(trial.number)) for trial in trials]


def as_csv(study: optuna.Study, records: list[TrialRecord]) -> str:
    """A line for each trial, hyperparameters in columns of their own after all else."""
    params = list(dict.fromkeys(name for record in records for name in record.params))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ["number", "state", *_metrics(study), "epochs", "duration_seconds", "reason"]
        + [f"params.{name}" for name in params]
    )
    for record in records:
        facts = [record.number, record.state, *record.values.values(), record.epochs]
        facts += [record.duration_seconds, record.reason]
        lines.writerow(facts + [record.params.get(name) for name in params])
    return text.getvalue().rstrip("\n")


def as_json(study: optuna.Study, records: list[TrialRecord]) -> str:
    """One document with the study's name, its objectives and the trials."""
    objectives = [
        {"metric": metric, "direction": direction.name.lower()}
        for metric, direction in zip(_metrics(study), study.directions, strict=True)
    ]
    trials = [asdict(record) for record in records]
    document = {"study": study.study_name, "objectives": objectives, "trials": trials}
    return json.dumps(document, indent=2, allow_nan=False)


def _load(experiment: str, name: str | None, storage: str | None) -> optuna.Study:
    storage = storage or default_storage()
    names = study_names(storage, experiment) if exists(storage) else []
    if not names:
        check_name(experiment)
        raise UserError(
            f"no study of {experiment!r} yet; type `make search EXPERIMENT={experiment}`"
        )
    if name is not None and name not in names:
        raise UsageError(f"there is no study {name!r}; valid: {', '.join(names)}")
    return optuna.load_study(study_name=name or names[-1], storage=open_storage(storage))


def _metrics(study: optuna.Study) -> list[str]:
    metrics: list[str] = study.user_attrs["metrics"]
    return metrics


def _record(trial: FrozenTrial, metrics: list[str], history: RunHistory | None) -> TrialRecord:
    values = trial.values or [math.nan] * len(metrics)
    seconds = trial.duration.total_seconds() if trial.duration else None
    if history:
        seconds = history.seconds
    return TrialRecord(
        number=trial.number,
        state=trial.state.name,
        values={
            metric: value if math.isfinite(value) else None
            for metric, value in zip(metrics, values, strict=True)
        },
        epochs=max([*trial.intermediate_values, *(history.epochs if history else ())], default=0),
        duration_seconds=None if seconds is None else round(seconds, 3),
        # A trial that was lost before it was built has a history without values.
        params=dict((history and history.values) or trial.params),
        reason=trial.user_attrs.get("reason", ""),
    )


def _table(study: optuna.Study, records: list[TrialRecord]) -> str:
    """Two lines or more for a trial: a configuration in a narrow column could not be read."""
    metrics = _metrics(study)
    shown = records[:SHOWN]
    rows = [["trial", "state", "epochs", "trained", *metrics]]
    rows += [_facts(record) for record in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    facts = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    indent = " " * (widths[0] + 2)
    width = max(60, shutil.get_terminal_size().columns)
    lines = [f"{study.study_name}: the best {len(shown)} of {len(records)}", "", facts[0]]
    # A number such as 1e-05 stays whole.
    wrap = partial(textwrap.wrap, width=width - len(indent), break_on_hyphens=False)
    for line, record in zip(facts[1:], shown, strict=True):
        words = record.reason if record.state == "FAIL" else configuration(record.params)
        lines += [line.rstrip(), *(indent + part for part in wrap(words))]
    return "\n".join(lines)


def _facts(record: TrialRecord) -> list[str]:
    trained = "" if record.duration_seconds is None else duration(record.duration_seconds)
    values = ["" if value is None else number(value) for value in record.values.values()]
    state = STATE_WORDS[TrialState[record.state]]
    return [str(record.number), state, str(record.epochs), trained, *values]
