"""The `delete` subcommand: removes a study from MLflow, the disk and Optuna's storage."""

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.mlruns import DELIVERED_FILE, STUDY_ID_FILE, checkpoints
from mnist_cnn.registry import models, store
from mnist_cnn.report.studies import study_names_in
from mnist_cnn.report.text import counted
from mnist_cnn.study.lock import StudyLock
from mnist_cnn.study.storage import default_storage, exists, open_storage
from mnist_cnn.study.study import CONFIRM_SUFFIX
from mnist_cnn.tracking import journal, tags, views
from mnist_cnn.tracking.experiment_lock import lock_experiment
from mnist_cnn.training.kept_images import remove_kept
from mnist_cnn.urls import hide_passwords


def delete_study(name: str, storage: str | None, force: bool) -> str:
    """Delete a study, its confirmations, its runs in MLflow and its files.

    An interrupted deletion can be repeated: until its end, the study is in Optuna, or the renamed
    folder of its files is there. MLflow keeps deleted runs until `mlflow gc`, and never deletes
    registered models with their runs. Images in mlruns/data/ that no other study here uses are
    removed too.

    Args:
        name: The name of the study.
        storage: The URL of Optuna's storage; None for the default.
        force: Whether to delete what is here, even if the champion comes from the study, or a part
            of the study is elsewhere.

    Returns:
        A message that says what was deleted.

    Raises:
        UsageError: There is no such study.
        AlreadyRunning: A search of its experiment, or `sync`, is running here.
        StudyLocked: A search of the study is running elsewhere.
        UserError: It needs `force`, or MLflow cannot be reached.
    """
    url = storage or default_storage()
    names, folders = study_names_in(url), {path.name for path in checkpoints().glob("*/")}
    experiment, folder = name.rpartition("-")[0], checkpoints() / name
    doomed = checkpoints() / f".{name}.deleted"
    if name not in names and name not in folders and doomed.name not in folders:
        valid = ", ".join(names) or "none yet"
        raise UsageError(f"there is no study {unknown(name, names)}; valid: {valid}")
    with lock_experiment(experiment), StudyLock(url, name):
        files = folder if name in folders else doomed
        own = name not in names or _belong_to(url, name, files)
        if not force:
            _refuse_part(url, name, own, in_optuna=name in names, has_files=name in folders)
        runs: list[Run] = []
        if own and name in folders:
            runs = _delete_runs(experiment, folder, force)
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)  # so that a kill leaves no partial study
        _delete_from_optuna(url, name)
        in_use = _digests_in_use()
        remove_kept(lambda facts: facts.get("digest") not in in_use)
        if doomed.is_dir():
            shutil.rmtree(doomed)
    if not own:
        return f"deleted {name} in {hide_passwords(url)}, without files and runs"
    return f"deleted {name} and its {counted(len(runs), 'run')} in MLflow"


def _belong_to(storage: str, name: str, folder: Path) -> bool:
    """Return whether the files in a folder are those of the study of this name in a storage.

    A study of the same name in another storage has other files and other runs.
    """
    study = optuna.load_study(study_name=name, storage=open_storage(storage))
    file = folder / STUDY_ID_FILE
    found = file.read_text() if file.exists() else "none"
    return found == str(study.user_attrs.get("id", "none"))


def _refuse_part(storage: str, name: str, own: bool, *, in_optuna: bool, has_files: bool) -> None:
    """Refuse to delete a study of which only a part is here.

    Args:
        storage: The URL of Optuna's storage.
        name: The name of the study.
        own: Whether the files here, if there are any, are those of the study in the storage.
        in_optuna: Whether there is a study of this name in the storage.
        has_files: Whether there is a folder of this name.
    """
    place, folder = hide_passwords(storage), checkpoints() / name
    if not own:
        raise UserError(
            f"the files of {name} in {place} are not in {folder}; delete it where it was searched, "
            "or add --force to delete it in Optuna only, without its files and runs"
        )
    if has_files and not in_optuna:
        raise UserError(
            f"there is no {name} in {place}, but in {folder} there are files of such a study; add "
            "--force to delete them, and their runs in MLflow"
        )


def _delete_runs(experiment: str, folder: Path, force: bool) -> list[Run]:
    """Delete the runs in MLflow that were delivered from a study's folder, and return them."""
    name = folder.name
    with store.answering():
        client = store.connect()
        if not force:
            _refuse_other_store(client, folder)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return []
        runs = _runs(client, found, folder)
        version = _champion_of(client, runs)
        if version and not force:
            raise UserError(
                f"version {version}, the champion, comes from {name}; promote another model "
                "first, or delete it anyway with --force"
            )
        for run in runs:
            client.delete_run(run.info.run_id)
        if found.lifecycle_stage == "active":  # MLflow changes no tags of a deleted experiment
            for tag in views.tags_of(name, found.tags):
                client.delete_experiment_tag(found.experiment_id, tag)
    return runs


def _refuse_other_store(client: MlflowClient, folder: Path) -> None:
    """Refuse to delete runs that were delivered to another MLflow and are not in this one.

    In a project that was moved, MLflow's database is the same at another place.
    """
    note = _note(folder)
    here = hide_passwords(client.tracking_uri)
    if note is None or hide_passwords(note["store"]) == here:
        return
    if models.known_run(client, note["run"]) is None:
        raise UserError(
            f"the runs of {folder.name} are in MLflow at {hide_passwords(note['store'])}, not at "
            f"{here}; set MLFLOW_TRACKING_URI to that, or add --force to leave them there"
        )


def _note(folder: Path) -> dict[str, Any] | None:
    """Return which run was delivered from a study's folder, and to where; None if none was."""
    file = folder / DELIVERED_FILE
    note: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"run": None}
    return note if note["run"] else None


def _runs(client: MlflowClient, experiment: Experiment, folder: Path) -> list[Run]:
    """Return the study's run that was delivered from a folder, and the runs nested in it."""
    note = _note(folder)
    if note is None:
        return []
    runs, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token)
        runs += page
        if not (token := page.token):
            break
    return [run for run in runs if note["run"] in (run.info.run_id, run.data.tags.get(tags.PARENT))]


def _champion_of(client: MlflowClient, runs: list[Run]) -> str | None:
    """Return the champion that comes from one of these runs; None if none does."""
    own = {run.info.run_id for run in runs}
    found = [each for each in store.champions(client) if each.run_id in own]
    return f"{found[0].version} of {found[0].name}" if found else None


def _delete_from_optuna(storage: str, name: str) -> None:
    """Delete a study and its confirmations. The study is the last, so that this can be repeated."""
    for study in (f"{name}{CONFIRM_SUFFIX}", name):
        if exists(storage) and study in optuna.get_all_study_names(open_storage(storage)):
            optuna.delete_study(study_name=study, storage=open_storage(storage))


def _digests_in_use() -> set[str]:
    """Return the digests of the data sets of all studies that have files here."""
    folders = [path for path in checkpoints().glob("*/") if not path.name.startswith(".")]
    return {digest for folder in folders if (digest := _digest_of(folder)) is not None}


def _digest_of(study_folder: Path) -> str | None:
    """Return the digest of a study's data set; None if no run has begun."""
    for run in sorted(study_folder.glob("*/")):
        for event in journal.read(run)[0]:
            if event["event"] == "dataset":
                return str(event["digest"])
    return None
