"""The verb `delete`: a study out of MLflow, off the disk, out of Optuna's storage."""

import shutil
from pathlib import Path

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import checkpoints
from mnist_cnn.registry import aliases, store
from mnist_cnn.report.studies import study_names_in
from mnist_cnn.study.lock import StudyLock
from mnist_cnn.study.storage import default_storage, open_storage
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.experiment_lock import lock_experiment


def delete_study(name: str, storage: str | None, force: bool) -> str:
    """Delete a study, its confirmations, its runs in MLflow and its files.

    Optuna's study goes last, so that a deletion which was cut short can be typed again. MLflow
    keeps deleted runs until `mlflow gc`, and registered models whatever becomes of their runs.

    Args:
        name: The study's name.
        storage: Optuna's storage URL; None for the default.
        force: Whether to delete the study that the champion comes from.

    Returns:
        A line that says what was deleted.

    Raises:
        UsageError: There is no such study.
        StudyLocked: A search is going on with it.
        UserError: The champion comes from it, or MLflow cannot be reached.
    """
    url = storage or default_storage()
    names = study_names_in(url)
    if name not in names:
        raise UsageError(f"there is no study {name!r}; valid: {', '.join(names) or 'none yet'}")
    experiment = name.rpartition("-")[0]
    with lock_experiment(experiment), StudyLock(url, name):
        with store.answering():
            client = store.connect()
            runs = _runs(client, experiment, name)
            version = _champion_of(client, runs)
            if version and not force:
                raise UserError(
                    f"version {version}, the champion, comes from {name}; promote another model "
                    "first, or delete it all the same with --force"
                )
            for run in runs:
                client.delete_run(run.info.run_id)
        _remove(checkpoints() / name)
        for study in (f"{name}.confirm", name):
            if study in optuna.get_all_study_names(open_storage(url)):
                optuna.delete_study(study_name=study, storage=open_storage(url))
    return f"{name} is deleted, with {len(runs)} runs in MLflow"


def _runs(client: MlflowClient, experiment: str, name: str) -> list[Run]:
    """Return the runs of a study that are not deleted."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs, token = [], None
    while True:
        condition = f"tags.`{tags.JOURNAL}` LIKE '{name}%'"
        page = client.search_runs(
            [found.experiment_id], condition, ViewType.ACTIVE_ONLY, page_token=token
        )
        runs += page
        if not (token := page.token):
            return [run for run in runs if run.data.tags[tags.JOURNAL].split("/")[0] == name]


def _champion_of(client: MlflowClient, runs: list[Run]) -> str | None:
    """Return the champion's version if it comes from one of these runs."""
    champion = aliases.current(client).champion
    if champion is None:
        return None
    version = client.get_model_version(store.REGISTERED_NAME, champion)
    return champion if version.run_id in {run.info.run_id for run in runs} else None


def _remove(folder: Path) -> None:
    """Remove a folder: under another name first, so that a kill leaves no half of a study."""
    if folder.is_dir():
        doomed = folder.with_name(f".{folder.name}.deleted")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
