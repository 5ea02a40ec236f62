"""The process that loads and runs models for `evaluate` and `promote`.

Models are loaded in a worker process only, as in a search. TensorFlow prints its start-up messages
whatever TF_CPP_MIN_LOG_LEVEL says; here they go to a log. A file that somebody sent may crash
TensorFlow; here that is one line for the user. And the worker imports TensorFlow while this process
imports MLflow.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.evaluation.scores import Calibration, Evaluation
from mnist_cnn.keras_backend import check_backend
from mnist_cnn.workers import machine
from mnist_cnn.workers.local_pool import Workers

if TYPE_CHECKING:
    from mnist_cnn.evaluation.data import DataInfo


class ModelWorker:
    """A worker process that may use the whole machine. It imports TensorFlow as soon as it starts.

    Each method runs the function of the same name in it. Whatever that raises is a UserError here.
    """

    def __init__(self) -> None:
        check_backend()
        self._folder = tempfile.TemporaryDirectory(prefix="mnist-cnn-")
        self._log = Path(self._folder.name) / "worker.log"

    def __enter__(self) -> "ModelWorker":
        self._workers = Workers(machine.worker_environments(1), self._log, prepare=_prepare)
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__(*exception)
        self._folder.cleanup()

    def examine(
        self, model_file: Path, data: str, class_names: Sequence[str] = ()
    ) -> "tuple[DataInfo, str]":
        """See `evaluation.evaluate.examine`."""
        call = partial(_examine, model_file, data, class_names)
        return cast("tuple[DataInfo, str]", self._workers.call(call))

    def evaluate(
        self,
        model_file: Path,
        data: str,
        pictures: Path | None = None,
        class_names: Sequence[str] = (),
    ) -> Evaluation:
        """See `evaluation.evaluate.evaluate`."""
        call = partial(_evaluate, model_file, data, pictures, class_names)
        return cast(Evaluation, self._workers.call(call))

    def correct(
        self, model_file: Path, data: str, class_names: Sequence[str] = ()
    ) -> NDArray[np.bool_]:
        """See `evaluation.evaluate.correct`."""
        call = partial(_correct, model_file, data, class_names)
        return cast(NDArray[np.bool_], self._workers.call(call))

    def average(self, model_files: Sequence[Path], target: Path) -> None:
        """See `training.ensemble.write_average`."""
        self._workers.call(partial(_average, model_files, target))

    def calibrate(
        self, model_file: Path, data: str, fields: Mapping[str, str], target: Path
    ) -> Calibration:
        """See `evaluation.calibration.calibrate`."""
        call = partial(_calibrate, model_file, data, fields, target)
        return cast(Calibration, self._workers.call(call))

    def latencies_ms(self, model_file: Path) -> tuple[float, float]:
        """See `evaluation.evaluate.latencies_ms`."""
        call = partial(_latencies_ms, model_file)
        return cast("tuple[float, float]", self._workers.call(call))

    def export(self, model_file: Path, folder: Path) -> None:
        """See `training.export.write_mlflow_model`."""
        self._workers.call(partial(_export, model_file, folder))


# These import in the worker, so that this process can name them without importing Keras.


def _prepare() -> None:
    import mnist_cnn.evaluation.evaluate  # noqa: F401


def _examine(model_file: Path, data: str, class_names: Sequence[str]) -> "tuple[DataInfo, str]":
    from mnist_cnn.evaluation.evaluate import examine

    return examine(model_file, data, class_names)


def _evaluate(
    model_file: Path, data: str, pictures: Path | None, class_names: Sequence[str]
) -> Evaluation:
    from mnist_cnn.evaluation.evaluate import evaluate

    return evaluate(model_file, data, pictures, class_names)


def _correct(model_file: Path, data: str, class_names: Sequence[str]) -> NDArray[np.bool_]:
    from mnist_cnn.evaluation.evaluate import correct

    return correct(model_file, data, class_names)


def _average(model_files: Sequence[Path], target: Path) -> None:
    from mnist_cnn.training.ensemble import write_average

    write_average(model_files, target)


def _calibrate(model_file: Path, data: str, fields: Mapping[str, str], target: Path) -> Calibration:
    from mnist_cnn.evaluation.calibration import calibrate

    return calibrate(model_file, data, fields, target)


def _latencies_ms(model_file: Path) -> tuple[float, float]:
    from mnist_cnn.evaluation.evaluate import latencies_ms

    return latencies_ms(model_file)


def _export(model_file: Path, folder: Path) -> None:
    from mnist_cnn.training.export import write_mlflow_model

    write_mlflow_model(model_file, folder)
