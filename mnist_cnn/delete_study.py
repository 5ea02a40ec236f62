"""The `delete` subcommand: removes a study from MLflow, the disk and Optuna's storage."""

import json
import shutil
from pathlib import Path

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run

from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.mlruns import DELIVERED_FILE, STUDY_ID_FILE, checkpoints
from mnist_cnn.registry import store
from mnist_cnn.report.studies import study_names_in
from mnist_cnn.report.text import counted
from mnist_cnn.study.lock import StudyLock
from mnist_cnn.study.storage import default_storage, open_storage
from mnist_cnn.tracking import journal, tags, views
from mnist_cnn.tracking.experiment_lock import lock_experiment
from mnist_cnn.training.kept_images import remove_kept


def delete_study(name: str, storage: str | None, force: bool) -> str:
    """Delete a study, its confirmations, its runs in MLflow and its files.

    The study in Optuna is deleted last, so that an interrupted deletion can be repeated. MLflow
    keeps deleted runs until `mlflow gc`, and never deletes registered models with their runs.
    Images in mlruns/data/ that no other study here uses are removed too.

    Args:
        name: The name of the study.
        storage: The URL of Optuna's storage; None for the default.
        force: Whether to delete the study even if the champion comes from it.

    Returns:
        A message that says what was deleted.

    Raises:
        UsageError: There is no such study.
        AlreadyRunning: A search of its experiment, or `sync`, is running here.
        StudyLocked: A search of the study is running elsewhere.
        UserError: The champion comes from the study, or MLflow cannot be reached.
    """
    url = storage or default_storage()
    names = study_names_in(url)
    if name not in names:
        valid = ", ".join(names) or "none yet"
        raise UsageError(f"there is no study {unknown(name, names)}; valid: {valid}")
    experiment, folder = name.rpartition("-")[0], checkpoints() / name
    study_id = optuna.load_study(study_name=name, storage=open_storage(url)).user_attrs.get("id")
    # A study of this name in another storage has other files and other runs.
    own = _read(folder / STUDY_ID_FILE) == (study_id or "")
    with lock_experiment(experiment), StudyLock(url, name):
        with store.answering():
            client = store.connect()
            runs = _runs(client, experiment, folder) if own else []
            version = _champion_of(client, runs)
            if version and not force:
                raise UserError(
                    f"version {version}, the champion, comes from {name}; promote another model "
                    "first, or delete it anyway with --force"
                )
            for run in runs:
                client.delete_run(run.info.run_id)
            if own:
                _delete_views(client, experiment, name)
        if own:
            _remove(folder)
        in_use = _digests_in_use()
        remove_kept(lambda facts: facts.get("digest") not in in_use)
        for study in (f"{name}.confirm", name):
            if study in optuna.get_all_study_names(open_storage(url)):
                optuna.delete_study(study_name=study, storage=open_storage(url))
    return f"deleted {name} and its {counted(len(runs), 'run')} in MLflow"


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _runs(client: MlflowClient, experiment: str, folder: Path) -> list[Run]:
    """Return the study's run that was delivered from a folder, and the runs nested in it."""
    note, found = folder / DELIVERED_FILE, client.get_experiment_by_name(experiment)
    if found is None or not note.exists():
        return []
    study_run, runs, token = json.loads(note.read_text())["run"], [], None
    while True:
        page = client.search_runs([found.experiment_id], page_token=token)
        runs += page
        if not (token := page.token):
            break
    return [run for run in runs if study_run in (run.info.run_id, run.data.tags.get(tags.PARENT))]


def _delete_views(client: MlflowClient, experiment: str, study: str) -> None:
    found = client.get_experiment_by_name(experiment)
    for tag in views.tags_of(study, found.tags) if found else ():
        client.delete_experiment_tag(found.experiment_id, tag)


def _champion_of(client: MlflowClient, runs: list[Run]) -> str | None:
    """Return the champion that comes from one of these runs; None if none does."""
    own = {run.info.run_id for run in runs}
    found = [each for each in store.champions(client) if each.run_id in own]
    return f"{found[0].version} of {found[0].name}" if found else None


def _digests_in_use() -> set[str]:
    """Return the digests of the data sets of all studies that have files here."""
    return {
        digest for folder in checkpoints().glob("*/") if (digest := _digest_of(folder)) is not None
    }


def _digest_of(study_folder: Path) -> str | None:
    """Return the digest of a study's data set; None if no run has begun."""
    for run in sorted(study_folder.glob("*/")):
        for event in journal.read(run)[0]:
            if event["event"] == "dataset":
                return str(event["digest"])
    return None


def _remove(folder: Path) -> None:
    """Rename a folder, then remove it, so that a kill leaves no partial study."""
    doomed = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(doomed, ignore_errors=True)  # left by an interrupted deletion
    if folder.is_dir():
        folder.rename(doomed)
        shutil.rmtree(doomed)
