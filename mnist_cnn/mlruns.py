"""The folder mlruns/: where everything that a search makes lies.

mlflow.db      MLflow's tracking store and registry, unless MLFLOW_TRACKING_URI says otherwise
optuna.db      Optuna's studies, unless --storage says otherwise
artifacts/     MLflow's files
checkpoints/   a folder a study, and in it a folder a run: journal, checkpoint, model, pictures
"""

from pathlib import Path

MLRUNS = Path("mlruns")
MODEL_FILE = "digit_recog_mnist_cnn.keras"
CHECKPOINT_FILE = "checkpoint.npz"
RUN_LOCK_FILE = "lock"  # held by the worker that trains the run
STUDY_ID_FILE = "study.id"  # in a study's folder: the id that the study has in Optuna's storage
DROPPED_FILE = "dropped.txt"  # why a run is no candidate any more
SOURCES_FILE = "sources.json"  # the texts of the modules that a run depended on, by name


def checkpoints() -> Path:
    """Return the folder that holds a folder for each study."""
    return MLRUNS.absolute() / "checkpoints"


def trial_folder(study_folder: Path, number: int) -> Path:
    """Return the folder of a trial's files, in that of its study."""
    return study_folder / f"trial-{number:05d}"


def worker_log(experiment_name: str) -> Path:
    """Return the file that takes what worker processes print."""
    return checkpoints() / f"{experiment_name}.log"


def confirmation_folder(study_folder: Path, number: int, seed: int) -> Path:
    """Return the folder of a confirmation of trial `number`, in that of its study."""
    return study_folder / f"confirmation-{number:05d}-{seed}"


def own_folder(tag: str) -> Path | None:
    """Return the folder of a run's files on this machine.

    Anybody can set a tag in MLflow, so it must not lead out of the project.

    Args:
        tag: The run's tag `journal`.

    Returns:
        The folder, with links resolved; None if it is not there or not in mlruns/checkpoints/.
    """
    root = checkpoints().resolve()
    try:
        folder = (root / tag).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # missing; a loop of links; not a path
        return None
    inside = folder.is_relative_to(root) and folder != root
    return folder if inside and folder.is_dir() else None
