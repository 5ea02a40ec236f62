"""Connects to MLflow, and makes names that it accepts."""

import getpass
import hashlib
import logging
import os
import posixpath
import re
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# `sync` retries an unreachable server every few seconds. MLflow's own retries would block for
# minutes, and would create a run twice if only the answer to the first request was lost.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import UNAUTHENTICATED, ErrorCode
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from mnist_cnn.errors import UserError
from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import sync_tree
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.relocation import relocate_artifacts
from mnist_cnn.urls import hide_passwords, sqlite_file, sqlite_url

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises its errors too
logging.getLogger("alembic").setLevel(logging.ERROR)

# The first lines of MLflow's message about a download that failed; the next one says why.
DOWNLOAD_HEADS = ("The following failures occurred while downloading", "##### File ")


def tracking_uri(mlruns: Path) -> str:
    """Return MLflow's tracking URI: $MLFLOW_TRACKING_URI, or the database in `mlruns`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(mlruns / "mlflow.db")


def connect(mlruns: Path) -> MlflowClient:
    """Return a client for MLflow's runs and registry. A missing database is created.

    In a project that was moved or copied, its artifacts are found, and new ones are written there.

    Args:
        mlruns: The folder of the database, unless MLFLOW_TRACKING_URI names another store.
    """
    uri = tracking_uri(mlruns)
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if not given:
        # MLflow has set it, and another project of this process would take it for the user's.
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    path = sqlite_file(uri)
    if path:
        _make_database(path)
    client = MlflowClient(uri)  # upgrades the tables of an older MLflow
    if path:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers do not wait for a writer
            if path == mlruns.absolute() / "mlflow.db":
                relocate_artifacts(database, mlruns)
    return client


def _make_database(path: Path) -> None:
    """Create MLflow's tables in a new file, completely or not at all.

    MLflow cannot use a database in which some tables are missing.
    """
    if path.exists():
        return
    partly = path.with_name(f"{path.name}.part")
    with file_lock(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            for left in path.parent.glob(f"{partly.name}*"):
                left.unlink()  # left by a kill
            MlflowClient(sqlite_url(partly))
            partly.rename(path)


def explain(error: Exception, mlruns: Path) -> str:
    """Return the error of MLflow or its database in one line, without passwords."""
    place = f"MLflow at {hide_passwords(tracking_uri(mlruns))}"
    lines = hide_passwords(str(error)).strip().split("\n")
    while len(lines) > 1 and lines[0].startswith(DOWNLOAD_HEADS):
        del lines[0]
    text = lines[0]
    if "Max retries exceeded" in text or "Connection" in text:
        return f"{place} cannot be reached; start it, or set MLFLOW_TRACKING_URI"
    if not isinstance(error, MlflowException):
        return f"{place} failed: {type(error).__name__}: {text}"
    if error.error_code == ErrorCode.Name(UNAUTHENTICATED):
        return (
            f"{place} refuses the login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return f"{place} refused: {text}"


def experiment_id(client: MlflowClient, name: str, mlruns: Path) -> str:
    """Return the id of MLflow's experiment `name`. A missing experiment is created.

    Raises:
        UserError: The experiment is deleted in MLflow.
    """
    # The MLflow UI differs for language models, and would ask which of the two this is.
    kind = "custom_model_development"
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        if tags.EXPERIMENT_KIND not in found.tags:  # made by an older version, or by the user
            client.set_experiment_tag(found.experiment_id, tags.EXPERIMENT_KIND, kind)
        return str(found.experiment_id)
    if found is not None:
        place = hide_passwords(tracking_uri(mlruns))
        raise UserError(
            f"MLflow's experiment {name!r} is deleted; type `mlflow experiments restore "
            f"-x {found.experiment_id}` with MLFLOW_TRACKING_URI={place}"
        )
    # A server has its own place for artifacts. For a database it has to be given.
    local = not tracking_uri(mlruns).startswith("http")
    location = (mlruns.absolute() / "artifacts" / name).as_uri() if local else None
    return str(
        client.create_experiment(
            name, artifact_location=location, tags={tags.EXPERIMENT_KIND: kind}
        )
    )


def flush_artifacts(uri: str) -> None:
    """Flush artifacts that MLflow has copied to this machine's disk. A server flushes its own.

    Args:
        uri: The URI of the artifacts of a run or of a logged model.
    """
    if uri.startswith("file:"):
        # MLflow creates the folder and its parent.
        sync_tree(Path(url2pathname(urlsplit(uri).path)).parent)


def valid_name(name: str) -> str:
    """Return a name that MLflow accepts: letters, digits and `_-. :/`, and a relative path.

    Different names stay different: a name that has to be changed gets a digest of the original at
    its end.
    """
    text = posixpath.normpath(re.sub(r"[^\w\-.: /]", "_", name)).lstrip("./")
    if text == name and 0 < len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{text[: MAX_ENTITY_KEY_LENGTH - 9]}_{digest}"


def in_filter(text: str) -> str:
    """Return a text as MLflow's filters take it, in quotes that are not in it.

    There is no way to write a text with both kinds of quotes.
    """
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"


def user() -> str:
    """Return the name of the user, or the user id if there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry in /etc/passwd
        return str(os.getuid())
