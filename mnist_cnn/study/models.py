"""The models that a study keeps: checked when a search continues, and replaced if damaged.

After a power cut a file may be empty, unless it was flushed to the disk.
"""

from pathlib import Path

from optuna.trial import TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.files import replace_file
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.study.study import MODELS_KEPT, Study
from mnist_cnn.tracking.journal import Journal


def damaged(study: Study) -> list[Path]:
    """Return the folders of runs whose kept model does not match the digest in their journal."""
    # Fewer may be kept than today's plan says, but never fewer than these. With several objectives
    # a trial may come nearer to the front after its model was removed, but not onto it.
    kept = study.front() or study.ranking()[:MODELS_KEPT]
    best = [study.trials.folder_of(trial) for trial in kept]
    confirmed = study.confirmations.all(TrialState.COMPLETE)
    folders = [*best, *(study.confirmations.folder_of(trial) for trial in confirmed)]
    return [folder for folder in folders if not _is_whole(folder, folder / MODEL_FILE)]


def _is_whole(folder: Path, model: Path) -> bool:
    """Return whether a file has the digest that the journal in `folder` records."""
    end = Journal(folder).end
    digest: str | None = end.get("model") if end else None
    if digest is None or (folder / DROPPED_FILE).exists():
        return True  # the run has no model, or its digest is unknown
    try:
        return model_digest(model) == digest
    except UserError:
        return False


def restore(folder: Path, model: Path) -> bool:
    """Replace a damaged model by that of a repeated run, if both are the same.

    Args:
        folder: The folder of the run.
        model: The model file of the repeated run.

    Returns:
        Whether it is the same model. If not, nothing is changed.
    """
    if not _is_whole(folder, model):
        return False
    content = model.read_bytes()
    replace_file(folder / MODEL_FILE, lambda path: path.write_bytes(content))
    return True


def drop(folder: Path, reason: str) -> None:
    """Exclude a run from the candidates, and record the reason in its folder."""
    replace_file(folder / DROPPED_FILE, lambda path: path.write_text(f"{reason}\n"))
