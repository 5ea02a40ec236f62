"""From what the user names to the model's file: a run, an alias of the registry, a .keras file."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import DEFAULT, ExperimentId
from mnist_cnn.keras_file import is_model, model_digest
from mnist_cnn.mlruns import MODEL_FILE, own_folder
from mnist_cnn.registry import store
from mnist_cnn.registry.answers import Answers, answers_of
from mnist_cnn.report import result_names
from mnist_cnn.tracking import tags

KINDS = ("study", "trial", "confirmation", "derived")  # of the runs that have a model
MODEL_DIGEST = "model.sha256"  # the tag of a tested run or of a version: `model_digest`


class FilesGone(UserError):
    """The files of a version are gone."""


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model's file, and where it comes from.

    Attributes:
        title: What it is called in messages.
        file: The .keras file.
        digest: Its `model_digest`.
        run_id: Its run in MLflow; None if that is not known.
        model_id: Its logged model in MLflow; None if it was not logged.
        answers: What its answers mean, as far as the registry knows.
    """

    title: str
    file: Path
    digest: str
    run_id: str | None = None
    model_id: str | None = None
    answers: Answers = field(default_factory=Answers)


def find(model: str, folder: Path, model_name: str | None = None) -> FoundModel:
    """Return the model that the user names.

    Args:
        model: The path of a .keras file, the id of a run, or as in `named_version`.
        folder: Where to put what has to be downloaded.
        model_name: The registered model that has the alias, see `store.choose`.

    Raises:
        UsageError: Unknown name.
        UserError: The model is gone or damaged.
    """
    if model.endswith(".keras") or Path(model).is_file():
        return from_file(Path(model))
    with store.answering():
        client = store.connect(ExperimentId(DEFAULT))
        if re.fullmatch("[0-9a-f]{32}", model):
            return from_run(client, get_run(client, model), folder)
        version = named_version(client, model, model_name)
        return from_version(version, folder, title=f"{model}, ")


def named_version(client: MlflowClient, model: str, model_name: str | None) -> ModelVersion:
    """Return the version of a registered model that the user names.

    Args:
        client: Of the registry.
        model: An alias, or MLflow's `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        model_name: The registered model that has the alias, see `store.choose`.

    Raises:
        UsageError: Unknown name.
    """
    if not model.startswith("models:"):
        return store.version(client, store.choose(store.names(client), model_name), model)
    parts = re.fullmatch("models:/([^/]+)(?:@([^/@]+)|/([0-9]+))", model)
    if not parts:
        valid = "models:/NAME@ALIAS, models:/NAME/VERSION"
        raise UsageError(f"{model!r} names no version of a registered model; valid: {valid}")
    if model_name is not None:
        raise UsageError(f"{model} and --model-name both name a registered model; leave one out")
    name = store.choose(store.names(client), parts[1])
    if parts[2]:
        return store.version(client, name, parts[2])
    return store.numbered_version(client, name, int(parts[3]))


def from_file(path: Path) -> FoundModel:
    """Return the model in a file. Its run is not known."""
    return FoundModel(title=str(path), file=path, digest=model_digest(path))


def get_run(client: MlflowClient, run_id: str) -> Run:
    """Return a finished run of a kind that has a model.

    Raises:
        UsageError: There is no such run.
        UserError: It is deleted, not finished, or of another kind.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UsageError(f"there is no run {run_id!r}; `make ui` shows the runs") from None
    if run.info.lifecycle_stage == "deleted":
        raise UserError(f"run {run_id} is deleted; restore it in MLflow's pages first")
    kind = run.data.tags.get(tags.KIND)
    if kind not in KINDS:
        what = f"of kind {kind!r}" if kind else "not part of a search"
        raise UserError(
            f"run {run_id} is {what} and has no model; name a study's, a trial's or a "
            "confirmation's run"
        )
    if run.info.status in ("RUNNING", "SCHEDULED"):
        raise UserError(f"run {run_id} ({run.info.run_name}) is not finished; wait for its end")
    return run


def known_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run, also a deleted one; None if nothing is left of it."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # after `mlflow gc`
            return None
        raise


def from_run(client: MlflowClient, run: Run, folder: Path) -> FoundModel:
    """Return the model of a study's, a trial's or a confirmation's run.

    It is the newest that was logged. If none was, as of most trials, or its files are gone, it is
    the file that the search left in mlruns/checkpoints/.

    Args:
        client: Of the tracking store.
        run: The run.
        folder: Where to put the download.

    Raises:
        UserError: The run has no model, or its file is gone or damaged.
    """
    title = f"{run.info.run_name} (run {run.info.run_id})"
    file, model_id = _logged_file(client, run, folder)
    if file is None:
        file = _local_file(run)
    if file is None:
        state = run.data.tags.get(tags.STATE, "")
        words = {"PRUNED": "; the trial was stopped early", "FAIL": "; the trial failed"}
        why = words.get(state, "")
        problem = run.data.tags.get(result_names.MODEL_PROBLEM)
        raise UserError(
            f"run {run.info.run_id} ({run.info.run_name}) has no model, or it is gone{why}; "
            + (problem or "a search keeps the files of its best trials only, where it ran")
        )
    return FoundModel(
        title=title,
        file=file,
        digest=model_digest(file),
        run_id=run.info.run_id,
        model_id=model_id,
    )


def _logged_file(
    client: MlflowClient, run: Run, folder: Path
) -> tuple[Path, str] | tuple[None, None]:
    """Return the file and the id of the newest model that was logged to the run.

    The others are of earlier winners of a study that was extended.
    """
    logged = client.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run.info.run_id}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": False}],
    )
    ids = [str(model.model_id) for model in logged if model.status == "READY"]
    file = _download(f"models:/{ids[0]}", folder) if ids else None
    return (file, ids[0]) if file else (None, None)


def logged_id(client: MlflowClient, run: Run, digest: str, folder: Path) -> str | None:
    """Return the id of the newest model that was logged to the run, if it has this digest.

    Args:
        client: Of the tracking store.
        run: The run.
        digest: A `model_digest`.
        folder: Where to put the download.
    """
    file, model_id = _logged_file(client, run, folder)
    return model_id if file and model_digest(file) == digest else None


def _local_file(run: Run) -> Path | None:
    """Return the model in the run's folder on this machine, if it is there."""
    folder = own_folder(run.data.tags.get(tags.JOURNAL, ""))
    if folder is None or not (folder / MODEL_FILE).is_file():
        return None
    return folder / MODEL_FILE


def from_version(version: ModelVersion, folder: Path, *, title: str = "") -> FoundModel:
    """Return the model of a version in the registry.

    Args:
        version: The version.
        folder: Where to put the download.
        title: What precedes the version in the model's title.

    Raises:
        FilesGone: The version's file is gone.
        UserError: It is damaged, or not the one that was registered.
    """
    name = f"version {version.version} of {version.name}"
    file = _download(f"models:/{version.name}/{version.version}", folder)
    if file is None:
        raise FilesGone(f"the files of {name} are gone")
    if MODEL_DIGEST in version.tags and not is_model(file, version.tags[MODEL_DIGEST]):
        raise UserError(f"the file of {name} is not the one that was registered")
    return FoundModel(
        title=f"{title}{name}",
        file=file,
        digest=model_digest(file),
        run_id=version.run_id or None,
        model_id=version.source.removeprefix("models:/"),
        answers=answers_of(version),
    )


def training_run(client: MlflowClient, run: Run, weights: str) -> Run:
    """Return the run that trained the model of `run`: itself, or one nested in a study's run.

    Args:
        client: Of the tracking store.
        run: The run that has the model.
        weights: The digest of the model's weights, as training runs record it.
    """
    if run.data.tags.get(tags.KIND) != "study":
        return run
    nested = client.search_runs(
        [run.info.experiment_id],
        f"tags.`{tags.PARENT}` = '{run.info.run_id}' and tags.`{tags.WEIGHTS}` = '{weights}'",
        max_results=1,
    )
    return nested[0] if nested else run


def download_curves(client: MlflowClient, training: Run, folder: Path) -> None:
    """Write the accuracy and loss curves of a training to `folder`, if its run has them."""
    run_id = training.info.run_id
    if any(file.path == "curves.png" for file in client.list_artifacts(run_id)):
        client.download_artifacts(run_id, "curves.png", str(folder))


def _download(uri: str, folder: Path) -> Path | None:
    """Download a model of MLflow to a folder of its own.

    Returns:
        Its .keras file, or None if it is gone.

    Raises:
        MlflowException: It cannot be downloaded, though it may be there.
    """
    target = folder / hashlib.sha256(uri.encode()).hexdigest()[:16]
    target.mkdir(exist_ok=True)
    try:
        mlflow.artifacts.download_artifacts(uri, dst_path=str(target))
    except FileNotFoundError:
        return None
    except OSError as error:  # a full disk, or an error of the server
        raise MlflowException(str(error)) from error
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    files = sorted(target.rglob("*.keras"))
    return files[0] if files else None
