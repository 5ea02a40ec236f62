"""The folder mlruns/: where everything lies that a search makes, and who may write to it.

mlflow.db      MLflow's tracking store and registry, unless MLFLOW_TRACKING_URI says otherwise
optuna.db      Optuna's studies, unless --storage says otherwise
artifacts/     MLflow's files
checkpoints/   a folder a study, and in it a folder a run: journal, checkpoint, model, pictures
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnist_cnn.errors import UserError

MLRUNS = Path("mlruns")
MODEL_FILE = "digit_recog_mnist_cnn.keras"
CHECKPOINT_FILE = "checkpoint.npz"
SPACE_FILE = "space.py"  # the text of the file that defined the search space of a run


def checkpoints() -> Path:
    """The folder of the studies' folders."""
    return MLRUNS.absolute() / "checkpoints"


def trial_folder(study_folder: Path, number: int) -> Path:
    """The folder of a trial's files in that of its study."""
    return study_folder / f"trial-{number:05d}"


def worker_log(experiment_name: str) -> Path:
    """The file that takes what worker processes print."""
    return checkpoints() / f"{experiment_name}.log"


class AlreadyRunning(UserError):
    """Another search holds what this one wants to write to."""


@contextmanager
def alone(experiment_name: str, folder: Path | None = None) -> Iterator[None]:
    """Hold the experiment for one search, in `folder` (default: `checkpoints()`).

    Raises AlreadyRunning if another search holds it, UserError if mlruns/ cannot be written.
    """
    folder = folder or checkpoints()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{experiment_name}.lock").open("a+")
    except OSError as error:
        raise UserError(f"cannot write to {MLRUNS.absolute()}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another search of {experiment_name!r} is running here; wait for its end, or stop "
                "it with Ctrl-C"
            ) from None
        yield
