"""The verb `delete`: removes a study from MLflow, from the disk and from Optuna's storage."""

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

    The study in Optuna is deleted last, so that an interrupted deletion can be repeated. MLflow
    keeps deleted runs until `mlflow gc`, and never deletes registered models with their runs.

    Args:
        name: The name of the study.
        storage: The URL of Optuna's storage; None for the default.
        force: Whether to delete the study even if the champion comes from it.

    Returns:
        A message that says what was deleted.

    Raises:
        UsageError: There is no such study.
        AlreadyRunning: A search of its experiment is running here.
        StudyLocked: A search of the study is running elsewhere.
        UserError: The champion comes from the study, or MLflow cannot be reached.
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
                    "first, or delete it anyway with --force"
                )
            for run in runs:
                client.delete_run(run.info.run_id)
        _remove(checkpoints() / name)
        for study in (f"{name}.confirm", name):
            if study in optuna.get_all_study_names(open_storage(url)):
                optuna.delete_study(study_name=study, storage=open_storage(url))
    return f"deleted {name} and its {len(runs)} runs in MLflow"


def _runs(client: MlflowClient, experiment: str, name: str) -> list[Run]:
    """Return the runs of a study, without deleted ones."""
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
    """Return the champion's version if it comes from one of these runs, else None."""
    champion = aliases.current(client).champion
    if champion is None:
        return None
    version = client.get_model_version(store.REGISTERED_NAME, champion)
    return champion if version.run_id in {run.info.run_id for run in runs} else None


def _remove(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that a kill does not leave half of a study."""
    if folder.is_dir():
        doomed = folder.with_name(f".{folder.name}.deleted")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
