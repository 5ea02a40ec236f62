"""Which model the user means: a run, an alias of the registry, or a .keras file."""

import hashlib
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import MODEL_FILE, checkpoints
from mnist_cnn.registry import store

KINDS = ("study", "trial", "confirmation")  # of the runs that have a model
MODEL = "model.sha256"  # the tag of a tested run or a version: `model_digest`
WEIGHTS = "weights.sha256"  # the tag of a run that trained, as `run` writes it


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model's file, and where it came from.

    title: for the user. digest: see `model_digest`.
    run_id: its run in MLflow; None if it is a file of unknown origin.
    model_id: of MLflow's logged model; None if it was not logged.
    """

    title: str
    file: Path
    digest: str
    run_id: str | None = None
    model_id: str | None = None


def find(model: str, folder: Path) -> FoundModel:
    """The model that the user names: the path of a .keras file, the id of a run, or an alias.

    folder: takes what has to be downloaded. Raises UsageError for a name that stands for nothing,
    UserError for a model that is gone or damaged.
    """
    if model.endswith(".keras") or Path(model).is_file():
        return from_file(Path(model))
    with store.answering():
        client = store.connect("mnist")
        if re.fullmatch("[0-9a-f]{32}", model):
            return from_run(client, get_run(client, model), folder)
        version = store.version(client, model)
        return from_version(client, version, folder, f"{model}, ")


def from_file(path: Path) -> FoundModel:
    """The model in a file; which run it came from is not known yet."""
    return FoundModel(title=str(path), file=path, digest=model_digest(path))


def get_run(client: MlflowClient, run_id: str) -> Run:
    """The run; raises UsageError if there is none, UserError if it can have no model."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UsageError(f"there is no run {run_id!r}; `make ui` shows the runs") from None
    if run.info.lifecycle_stage == "deleted":
        raise UserError(f"run {run_id} is deleted; restore it in MLflow's pages first")
    kind = run.data.tags.get("kind")
    if kind not in KINDS:
        raise UserError(
            f"run {run_id} is {f'of kind {kind!r}' if kind else 'not of a search'} and has no "
            "model; name a study's, a trial's or a confirmation's run"
        )
    if run.info.status in ("RUNNING", "SCHEDULED"):
        raise UserError(f"run {run_id} ({run.info.run_name}) is not finished; wait for its end")
    return run


def from_run(client: MlflowClient, run: Run, folder: Path) -> FoundModel:
    """The model of a study's, a trial's or a confirmation's run.

    It is the newest that was logged; a trial's, which is not, is taken from mlruns/checkpoints/.
    """
    run_id = run.info.run_id
    logged = client.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run_id}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": False}],
    )
    for made in logged:
        file = _download(f"models:/{made.model_id}", folder) if made.status == "READY" else None
        if file:
            return FoundModel(
                title=f"{run.info.run_name} (run {run_id})",
                file=file,
                digest=model_digest(file),
                run_id=run_id,
                model_id=made.model_id,
            )
    file = checkpoints() / run.data.tags.get("journal", "") / MODEL_FILE
    if not file.is_file():
        state = run.data.tags.get("optuna.state", "")
        why = f"; the trial was {state.lower()}" if state in ("PRUNED", "FAIL") else ""
        raise UserError(
            f"run {run_id} ({run.info.run_name}) has no model, or it is gone{why}; a search keeps "
            "the files of its best trials only"
        )
    return FoundModel(
        title=f"{run.info.run_name} (run {run_id})",
        file=file,
        digest=model_digest(file),
        run_id=run_id,
    )


def from_version(
    client: MlflowClient, version: ModelVersion, folder: Path, title: str = ""
) -> FoundModel:
    """The model of a version in the registry; raises UserError if it is gone or another one."""
    name = f"version {version.version} of {store.REGISTERED_NAME}"
    file = _download(f"models:/{store.REGISTERED_NAME}/{version.version}", folder)
    if file is None:
        raise UserError(f"the files of {name} are gone")
    digest = model_digest(file)
    if version.tags.get(MODEL, digest) != digest:
        raise UserError(f"the file of {name} is not the one that was registered")
    return FoundModel(
        title=f"{title}{name}",
        file=file,
        digest=digest,
        run_id=version.run_id or None,
        model_id=version.source.removeprefix("models:/"),
    )


def training_run(client: MlflowClient, run: Run, weights: str) -> Run:
    """The run of the training that gave the run's model: itself, or one nested in a study's.

    weights: the digest of the model's weights, as training runs record it.
    """
    if run.data.tags.get("kind") != "study":
        return run
    nested = client.search_runs(
        [run.info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and tags.`{WEIGHTS}` = '{weights}'",
        max_results=1,
    )
    return nested[0] if nested else run


def download_curves(client: MlflowClient, training: Run, folder: Path) -> None:
    """Write the training's accuracy and loss curves to `folder`, if its run has them."""
    run_id = training.info.run_id
    if any(file.path == "curves.png" for file in client.list_artifacts(run_id)):
        client.download_artifacts(run_id, "curves.png", str(folder))


def model_digest(path: Path) -> str:
    """SHA-256 of the weights' file in a .keras file, in hexadecimal: which model it is.

    The rest of the file differs each time that the same model is saved, as it holds the date.

    Raises UsageError if there is no such file, UserError if it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return hashlib.sha256(archive.read("model.weights.h5")).hexdigest()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except Exception as error:  # zipfile and zlib each raise their own
        raise UserError(f"the model {path} is damaged: {error}") from None


def _download(uri: str, folder: Path) -> Path | None:
    """The .keras file of a model in MLflow, in a folder of its own; None if it is gone."""
    target = folder / hashlib.sha256(uri.encode()).hexdigest()[:16]
    target.mkdir(exist_ok=True)
    try:
        mlflow.artifacts.download_artifacts(uri, dst_path=str(target))
    except OSError:
        return None
    except MlflowException as error:
        if "Max retries exceeded" in str(error):
            raise
        return None
    return next(iter(sorted(target.rglob("*.keras"))), None)
