"""The `studies` subcommand: all studies of a storage, with state, best value and size on disk."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import checkpoints
from mnist_cnn.report.text import number, print_text
from mnist_cnn.study.chains import tried
from mnist_cnn.study.lock import StudyLock, StudyLocked
from mnist_cnn.study.storage import default_storage, exists, open_storage
from mnist_cnn.study.study import CONFIRMS, comparable, is_begun, objectives_of

COLUMNS = ("study", "state", "trials", "best", "on disk")
MIB = 2**20


def show_studies(storage: str | None) -> None:
    """Print a row for each study, in the order in which they were made.

    Args:
        storage: Optuna's storage URL; None for the default.

    Raises:
        UserError: There is no study yet.
    """
    url = storage or default_storage()
    names = study_names_in(url)
    if not names:
        raise UserError("no study yet; type `make search`")
    rows = [_row(url, name) for name in names]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    print_text("\n".join(_line(row, widths) for row in (COLUMNS, *rows)))


def study_names_in(storage: str) -> list[str]:
    """Return the names of all studies in a storage, without those of confirmations."""
    if not exists(storage):
        return []
    summaries = optuna.get_all_study_summaries(open_storage(storage), include_best_trial=False)
    return [found.study_name for found in summaries if CONFIRMS not in found.user_attrs]


def _row(storage: str, name: str) -> tuple[str, ...]:
    study = optuna.load_study(study_name=name, storage=open_storage(storage))
    trials = study.get_trials(deepcopy=False)
    done = tried(trial for trial in trials if trial.state.is_finished())
    wanted = study.user_attrs.get("trials", len(trials))
    size = _bytes(checkpoints() / name)
    count = f"{done} of {wanted}"
    return name, _state(storage, study), count, _best(study, trials), f"{size / MIB:.1f} MB"


def _state(storage: str, study: optuna.Study) -> str:
    try:
        with StudyLock(storage, study.study_name, shared=True):
            pass
    except StudyLocked:
        return "searching"
    return "finished" if study.user_attrs.get("finished") else "unfinished"


def _best(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    if not is_begun(study):
        return ""
    objective = objectives_of(study)[0]
    values = [trial.values[0] for trial in comparable(trials)]
    if not values:
        return ""
    return f"{objective.metric} {number(min(values, key=objective.rank_key))}"


def _bytes(folder: Path) -> int:
    """Return the size of the files in a folder, in which a search may replace and remove some."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(parent, name).stat().st_size
    return size


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2])]
    return "  ".join([*cells, row[3].ljust(widths[3]), row[4].rjust(widths[4])]).rstrip()
