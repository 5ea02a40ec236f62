"""The `trials` subcommand: a study's trials as a table in the terminal, as CSV or as JSON."""

import csv
import io
import json
import math
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment_id import ExperimentId, command, search_command
from mnist_cnn.mlruns import checkpoints
from mnist_cnn.objectives import Objective, keeps_constraints
from mnist_cnn.project.loading import check_experiment, known_experiments
from mnist_cnn.report.history import RunHistory, of_trials, run_histories
from mnist_cnn.report.text import (
    STATE_WORDS,
    duration,
    in_columns,
    in_one_line,
    number,
    print_text,
)
from mnist_cnn.study.chains import REPEATS
from mnist_cnn.study.opening import study_names
from mnist_cnn.study.storage import default_storage, exists, open_storage, storage_option
from mnist_cnn.study.study import is_begun, objectives_of

SHOWN_TRIALS = 20
MIN_WIDTH = 60  # characters

# The order of trials in the table.
STATES = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.RUNNING,
    TrialState.WAITING,
)

Format = Literal["table", "csv", "json"]


@dataclass(frozen=True)
class TrialRecord:
    """A trial, as in CSV and JSON.

    Attributes:
        number: Optuna's.
        state: Optuna's, such as COMPLETE.
        values: Of each objective; None if there is none or it is not finite.
        epochs: The number of trained epochs.
        duration_seconds: The training time without interruptions; None if it was not trained.
        params: The hyperparameters as the search space saw them.
        reason: Why it ended early; "" if it did not.
        repeats: The number of the trial that it repeats, so that it was not trained; None if it
            does not.
    """

    number: int
    state: str
    values: dict[str, float | None]
    epochs: int
    duration_seconds: float | None
    params: dict[str, Any]
    reason: str
    repeats: int | None = None


def show_trials(
    experiment: ExperimentId, name: str | None, storage: str | None, output: Format = "table"
) -> None:
    """Print the trials of a study.

    Args:
        experiment: The identity of the experiment.
        name: The study's name; None for the experiment's newest.
        storage: Optuna's storage URL; None for the default.
        output: The best trials as a table, or all trials by number as CSV or JSON.

    Raises:
        UsageError: The experiment has no study of this name.
        UserError: The experiment has no study yet, or the study has no trials yet.
    """
    study = _load(experiment, name, storage)
    records = trial_records(study, checkpoints() / study.study_name)
    by_number = sorted(records, key=lambda record: record.number)
    if output == "table":
        print_text(_table(study, records))
    elif output == "csv":
        print_text(as_csv(study, by_number))
    else:
        print_text(as_json(study, by_number))


def trial_records(study: optuna.Study, folder: Path) -> list[TrialRecord]:
    """Return all trials: the complete ones first and the best of them first, then the others.

    Complete ones that violate a constraint come after those that could win.

    Args:
        study: The study.
        folder: Its folder, with the journals of its trials.
    """
    objectives = objectives_of(study)

    def order(trial: FrozenTrial) -> tuple[int, bool, float, int]:
        rank = objectives[0].rank_key(trial.values[0]) if trial.values else 0
        return STATES.index(trial.state), not keeps_constraints(trial), rank, trial.number

    trials = sorted(study.get_trials(deepcopy=False), key=order)
    histories = of_trials(run_histories(folder))
    return [_record(trial, objectives, histories.get(trial.number)) for trial in trials]


def as_row(record: TrialRecord) -> dict[str, Any]:
    """Return a trial as one row, by the names of the columns. The hyperparameters are the last."""
    return {
        "number": record.number,
        "state": record.state,
        **record.values,
        "epochs": record.epochs,
        "duration_seconds": record.duration_seconds,
        "reason": record.reason,
        **{f"params.{name}": value for name, value in record.params.items()},
    }


def as_csv(study: optuna.Study, records: Sequence[TrialRecord]) -> str:
    """Return a line for each trial. The hyperparameters are the last columns."""
    params = list(dict.fromkeys(name for record in records for name in record.params))
    metrics = [objective.metric for objective in objectives_of(study)]
    columns = ["number", "state", *metrics, "epochs", "duration_seconds", "reason"]
    text = io.StringIO()
    lines = csv.DictWriter(
        text, columns + [f"params.{name}" for name in params], lineterminator="\n"
    )
    lines.writeheader()
    lines.writerows(as_row(record) for record in records)
    return text.getvalue().rstrip("\n")


def as_json(study: optuna.Study, records: Sequence[TrialRecord]) -> str:
    """Return one JSON document with the study's name, its objectives and the trials."""
    document = {
        "study": study.study_name,
        "objectives": [asdict(objective) for objective in objectives_of(study)],
        "trials": [asdict(record) for record in records],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _load(experiment: ExperimentId, name: str | None, storage: str | None) -> optuna.Study:
    storage = storage or default_storage()
    search = search_command(experiment, {"storage": storage_option(storage)})
    names = study_names(storage, experiment.name) if exists(storage) else []
    if not names:
        _refuse_study(experiment, storage)
        check_experiment(experiment)
        raise UserError(f"no study of {experiment.name!r} yet; type `{search}`")
    if name is not None and name not in names:
        valid = ", ".join(names)
        raise UsageError(f"{experiment.name} has no study {unknown(name, names)}; valid: {valid}")
    study = optuna.load_study(study_name=name or names[-1], storage=open_storage(storage))
    if not is_begun(study):
        raise UserError(f"{study.study_name} has no trials yet; type `{search}`")
    return study


def _refuse_study(experiment: ExperimentId, storage: str) -> None:
    """Refuse the name of a study where that of an experiment belongs."""
    study, known = experiment.name, known_experiments()
    searched = known.get(study.rpartition("-")[0])
    if study in known or searched is None or not exists(storage):
        return
    if study in study_names(storage, searched.name):
        given = {"study": study, "storage": storage_option(storage)}
        raise UsageError(f"{study!r} is a study; type `{command('trials', searched, given)}`")


def _record(
    trial: FrozenTrial, objectives: Sequence[Objective], history: RunHistory | None
) -> TrialRecord:
    values = trial.values or [math.nan] * len(objectives)
    seconds = trial.duration.total_seconds() if trial.duration else None
    epochs = list(trial.intermediate_values)
    params = trial.params
    if history:
        seconds = history.seconds
        epochs += history.epochs
        if history.values:  # a trial that was lost before it was built has none
            params = dict(history.values)
    return TrialRecord(
        number=trial.number,
        state=trial.state.name,
        values={
            objective.metric: value if math.isfinite(value) else None
            for objective, value in zip(objectives, values, strict=True)
        },
        epochs=max(epochs, default=0),
        duration_seconds=None if seconds is None else round(seconds, 3),
        params=params,
        reason=trial.user_attrs.get("reason", ""),
        repeats=trial.user_attrs.get(REPEATS),
    )


def _table(study: optuna.Study, records: Sequence[TrialRecord]) -> str:
    """Return a table of the best trials.

    A configuration would be illegible in a narrow column, so it follows on lines of its own.
    """
    metrics = [objective.metric for objective in objectives_of(study)]
    records = [record for record in records if record.repeats is None]
    shown = records[:SHOWN_TRIALS]
    rows = [["trial", "state", "epochs", "trained", *metrics], *map(_cells, shown)]
    header, *aligned = in_columns(rows)
    indent = " " * (max(len(row[0]) for row in rows) + 2)
    width = max(MIN_WIDTH, shutil.get_terminal_size().columns) - len(indent)
    lines = [f"{study.study_name}: the best {len(shown)} of {len(records)}", "", header]
    for line, record in zip(aligned, shown, strict=True):
        details = in_one_line(record.params)
        if record.state == "FAIL":
            details = record.reason
        elif record.state == "COMPLETE" and record.reason:  # it violates a constraint
            details = f"{record.reason}; {details}"
        lines.append(line)
        # A number such as 1e-05 is not broken.
        for part in textwrap.wrap(details, width, break_on_hyphens=False):
            lines.append(indent + part)
    return "\n".join(lines)


def _cells(record: TrialRecord) -> list[str]:
    state = STATE_WORDS[TrialState[record.state]]
    trained = "" if record.duration_seconds is None else duration(record.duration_seconds)
    values = ["" if value is None else number(value) for value in record.values.values()]
    return [str(record.number), state, str(record.epochs), trained, *values]
