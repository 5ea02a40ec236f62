"""The Python API: `search`, its result, and `load_champion`."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import experiment_id
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.search_process.request import Request
from mnist_cnn.search_process.start import start_search
from mnist_cnn.urls import hide_passwords
from mnist_cnn.workers.cluster.wanted import RayWanted, parse_workers
from mnist_cnn.workers.signals import uninterrupted

if TYPE_CHECKING:
    import keras
    import optuna
    import pandas

    from mnist_cnn.study.study import Study


class Result:
    """The result of a search, returned by `search`."""

    def __init__(self, study: "Study") -> None:
        self._study = study

    def __repr__(self) -> str:
        return f"<Result of {self._study.name}, in {self._study.folder}>"

    @property
    def study(self) -> "optuna.Study":
        """The study in Optuna, such as for `optuna.visualization`.

        Its `best_trial` has the best score of all trials. The winner is the trial that was best
        when it was confirmed on fresh seeds, and may be another one.
        """
        return self._study.trials.optuna_study

    @property
    def run_id(self) -> str | None:
        """The id of the study's run in MLflow; None until MLflow could be reached."""
        from mnist_cnn.report.study_run import run_id

        return run_id(self._study.folder)

    def best_model(self) -> "keras.Model":
        """Load the winner's model, in float32, to predict or evaluate. It has no optimizer state.

        Raises:
            UserError: The winner has no model, or it cannot be loaded. A model with layers of its
                search space needs that module to be imported first.
        """
        file = self._study.folder / MODEL_FILE
        with _one_line():
            if not file.exists():
                from mnist_cnn.report.description import NO_MODEL

                raise UserError(f"{self._study.name} has no model: {NO_MODEL}")
            _hide_messages_of_tensorflow()
            with uninterrupted():
                from mnist_cnn.training.saved_model import load_with_objects

            return load_with_objects(file)

    def best_hyperparameters(self) -> dict[str, Any]:
        """Return the winner's hyperparameters, by KerasTuner's names."""
        from mnist_cnn.report.study_run import PARAMETERS_FILE

        found: dict[str, Any] = json.loads((self._study.folder / PARAMETERS_FILE).read_text())
        return found

    def trials_dataframe(self) -> "pandas.DataFrame":
        """Return all trials by number, with the columns of `mnist-cnn trials --csv`.

        Unlike those of `study.trials_dataframe()`, the hyperparameters are the values that the
        search space got, and the duration leaves out interruptions.
        """
        import pandas

        from mnist_cnn.report.listing import as_row, trial_records

        records = trial_records(self.study, self._study.folder)
        by_number = sorted(records, key=lambda record: record.number)
        return pandas.DataFrame([as_row(record) for record in by_number])


def search(
    experiment: str | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    study: str | None = None,
    storage: str | None = None,
    workers: int | str | None = None,
) -> Result:
    """Search an experiment of the project in the current folder, as `mnist-cnn search` does.

    The experiment's newest study is resumed if it is unfinished and nothing changed; otherwise a
    new one is opened. Trials run in worker processes, which import the experiment's file again on
    each call, and inherit this process's environment, such as KERAS_BACKEND. Progress is printed.

    Ctrl-C, or interrupting the cell, saves everything and ends the workers; the same call resumes
    the search. In a thread, a search cannot be interrupted before its `timeout`.

    Args:
        experiment: The name of a file in experiments/; `mnist` by default, `images` with `data`.
        data: Your own labelled images: a folder, a .csv, an .npz, IDX files.
        trials: The total number of configurations of the study, at least 1.
        timeout: The time limit of this call in seconds, above 0; by default the experiment's, or
            what an unfinished study has left of it.
        study: The name of a study to continue, such as `mnist-1`.
        storage: The URL of Optuna's storage; by default it is in mlruns/.
        workers: The number of trials to train in parallel, at least 1. "ray:16" trains 16 on the
            Ray cluster of RAY_ADDRESS, or else of this machine.

    Raises:
        UsageError: An argument is out of range, or names something that does not exist.
        UserError: The search failed or was refused. The message is one line.
        KeyboardInterrupt: After Ctrl-C, once everything is saved.
    """
    with _one_line():
        _check_names(experiment, data, study, storage)
        request = Request(
            experiment=experiment_id(experiment, None if data is None else Path(data)),
            trials=_count("trials", trials),
            timeout_seconds=_seconds("timeout", timeout),
            study=study,
            storage=storage,
        )
        try:
            found = start_search(request, _workers(workers))
        except KeyboardInterrupt:
            print("stopped; everything is saved; continue with the same call")
            raise KeyboardInterrupt from None  # the traceback is of no use
        return Result(found)


def load_champion(name: str | None = None) -> "keras.Model":
    """Load the champion: the model that `mnist-cnn promote` made the best of its data set.

    Args:
        name: The registered model; by default MNIST's, or else the only one there is.

    Raises:
        UsageError: There is no champion, or no registered model of this name.
        UserError: MLflow cannot be reached, or the file is gone, damaged or has code in it.
    """
    with _one_line(), tempfile.TemporaryDirectory() as folder:
        _hide_messages_of_tensorflow()
        with uninterrupted():
            from mnist_cnn.registry.models import find
            from mnist_cnn.training.saved_model import load

        return load(find("champion", Path(folder), name).file)


@contextmanager
def _one_line() -> Iterator[None]:
    """Raise a UserError without the errors that led to it, and without passwords."""
    try:
        yield
    except UserError as error:
        error.args = (hide_passwords(str(error)),)
        raise error from None


def _hide_messages_of_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _check_names(experiment: object, data: object, study: object, storage: object) -> None:
    if experiment is not None and not isinstance(experiment, str):
        raise UsageError(
            f"search takes the name of an experiment, not {_kind(experiment)}, because workers "
            "import it: write `experiment = Experiment(...)` in experiments/mine.py, then call "
            'search("mine")'
        )
    if data is not None and not isinstance(data, str | os.PathLike):
        raise UsageError(f"data is the path of labelled images, not {_kind(data)}")
    if study is not None and not isinstance(study, str):
        raise UsageError(f'study is the name of a study, such as "mnist-1", not {_kind(study)}')
    if storage is not None and not isinstance(storage, str):
        raise UsageError(
            f'storage is a URL, such as "sqlite:////tmp/optuna.db", not {_kind(storage)}'
        )


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _count(name: str, value: int | str | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{name}={value!r} is not a whole number of at least 1")
    return int(value)


def _workers(value: int | str | None) -> int | RayWanted | None:
    if isinstance(value, str) and value.startswith("ray:"):
        return parse_workers(value)
    return _count("workers", value)


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise UsageError(f"{name}={value!r} is not a number of seconds above 0")
    return float(value)
