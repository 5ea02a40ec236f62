"""The paths in the project's folder mlruns/, which holds everything that a search creates.

mlflow.db      MLflow's runs and registry, unless MLFLOW_TRACKING_URI names another store
optuna.db      Optuna's studies, unless --storage names another one
artifacts/     MLflow's files
checkpoints/   a folder per study, in it a folder per run: journal, checkpoint, model, plots
data/          images as searches read them, and cached facts of data; made again if removed
"""

from pathlib import Path

from mnist_cnn.errors import UsageError

MLRUNS = Path("mlruns")
# Environment variable of a worker on a node of a cluster: the node's name. In mlruns/ the node has
# only what the search has sent it.
NODE = "MNIST_CNN_NODE"
MODEL_FILE = "digit_recog_mnist_cnn.keras"
CHECKPOINT_FILE = "checkpoint.npz"
RUN_LOCK_FILE = "lock"  # locked by the worker that trains the run
STUDY_ID_FILE = "study.id"  # in a study's folder: the study's id, as in Optuna's storage
DELIVERED_FILE = "delivered.json"  # how much of a run is in MLflow; written by deliveries
DROPPED_FILE = "dropped.txt"  # why a run is no longer a candidate
SOURCES_FILE = "sources.json"  # the modules that a run depended on: their texts by name


def check_project() -> None:
    """Check that the current folder is a project, or has at least what a search has written.

    Raises:
        UsageError: It has neither experiments/ nor mlruns/.
    """
    if not Path("experiments").is_dir() and not MLRUNS.is_dir():
        raise no_project(Path.cwd())


def no_project(folder: Path) -> UsageError:
    """Return the error for a folder that is no project, which says where to go."""
    return UsageError(
        f"there is no experiments/ in {folder}, so it is no project; type the command in the "
        "project's root, the folder of your clone; in a notebook call os.chdir first"
    )


def checkpoints() -> Path:
    """Return the folder that holds a folder for each study."""
    return MLRUNS.absolute() / "checkpoints"


def kept_data() -> Path:
    """Return the folder with the images and the cached facts of data sets."""
    return MLRUNS.absolute() / "data"


def trial_folder(study_folder: Path, number: int) -> Path:
    """Return the folder of a trial's files, in the folder of its study."""
    return study_folder / f"trial-{number:05d}"


def worker_log(experiment_name: str) -> Path:
    """Return the file to which an experiment's worker processes print."""
    return checkpoints() / f"{experiment_name}.log"


def confirmation_folder(study_folder: Path, number: int, seed: int) -> Path:
    """Return the folder of a confirmation's files, in the folder of the confirmed study.

    Args:
        study_folder: The folder of the study.
        number: The number of the confirmed trial.
        seed: The index of the seed, from 0.
    """
    return study_folder / f"confirmation-{number:05d}-{seed}"


def own_folder(tag: str) -> Path | None:
    """Return the folder of a run's files on this machine.

    Anybody can set a tag in MLflow, so the tag must not lead out of mlruns/checkpoints/.

    Args:
        tag: The run's tag `journal`.

    Returns:
        The folder with links resolved, or None if it does not exist or lies elsewhere.
    """
    root = checkpoints().resolve()
    try:
        folder = (root / tag).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # missing, a circular link, or not a path
        return None
    inside = folder.is_relative_to(root) and folder != root
    return folder if inside and folder.is_dir() else None
