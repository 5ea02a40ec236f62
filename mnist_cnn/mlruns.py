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
SPACE_FILE = "space.py"  # the text of the file that defined the search space of a run


def checkpoints() -> Path:
    """Return the folder that holds a folder for each study."""
    return MLRUNS.absolute() / "checkpoints"


def trial_folder(study_folder: Path, number: int) -> Path:
    """Return the folder of a trial's files, in that of its study."""
    return study_folder / f"trial-{number:05d}"


def worker_log(experiment_name: str) -> Path:
    """Return the file that takes what worker processes print."""
    return checkpoints() / f"{experiment_name}.log"
