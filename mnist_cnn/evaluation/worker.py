"""The process that loads and runs models for `evaluate` and `promote`.

TensorFlow prints its start-up messages to the terminal whatever TF_CPP_MIN_LOG_LEVEL says, and a
file that somebody sent may make it crash. So models are only ever loaded in a worker process, as a
search does it: its messages go to a log, its crash is one line for the user, and it imports
TensorFlow while this process imports MLflow.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.evaluation.scores import Evaluation
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import Workers

if TYPE_CHECKING:
    from mnist_cnn.evaluation.data import Facts


class ModelWorker:
    """One worker process with all of the machine; it starts to import TensorFlow at once.

    Each method runs the function of its name there and raises UserError for whatever that raised.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mnist-cnn-")
        self._log = Path(self._folder.name) / "worker.log"

    def __enter__(self) -> "ModelWorker":
        self._workers = Workers(machine.worker_environments(1), self._log, prepare=_prepare)
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__(*exception)
        self._folder.cleanup()

    def examine(self, model_file: Path, data: str) -> "tuple[Facts, str]":
        """See `evaluation.examine`."""
        return cast("tuple[Facts, str]", self._workers.call(partial(_examine, model_file, data)))

    def evaluate(self, model_file: Path, data: str, pictures: Path | None = None) -> Evaluation:
        """See `evaluation.evaluate`."""
        return cast(Evaluation, self._workers.call(partial(_evaluate, model_file, data, pictures)))

    def right(self, model_file: Path, data: str) -> NDArray[np.bool_]:
        """See `evaluation.right`."""
        return cast(NDArray[np.bool_], self._workers.call(partial(_right, model_file, data)))

    def export(self, model_file: Path, folder: Path) -> None:
        """See `export.write_mlflow_model`."""
        self._workers.call(partial(_export, model_file, folder))


# Each imports where it computes, so that this process may name it without Keras.


def _prepare() -> None:
    import mnist_cnn.evaluation.evaluate  # noqa: F401


def _examine(model_file: Path, data: str) -> "tuple[Facts, str]":
    from mnist_cnn.evaluation.evaluate import examine

    return examine(model_file, data)


def _evaluate(model_file: Path, data: str, pictures: Path | None) -> Evaluation:
    from mnist_cnn.evaluation.evaluate import evaluate

    return evaluate(model_file, data, pictures)


def _right(model_file: Path, data: str) -> NDArray[np.bool_]:
    from mnist_cnn.evaluation.evaluate import right

    return right(model_file, data)


def _export(model_file: Path, folder: Path) -> None:
    from mnist_cnn.training.export import write_mlflow_model

    write_mlflow_model(model_file, folder)
