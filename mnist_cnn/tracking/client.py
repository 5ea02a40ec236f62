"""Where MLflow is, and what it takes as names."""

import getpass
import hashlib
import logging
import os
import posixpath
import re
import sqlite3
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is away is tried again by us, every few seconds; MLflow would hold on for minutes.
# And it repeats what creates a run: where only the answer was lost, there would be two.
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
from mnist_cnn.urls import hide_passwords, sqlite_file, sqlite_url

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises them as well
logging.getLogger("alembic").setLevel(logging.ERROR)


def tracking_uri(mlruns: Path) -> str:
    """Where MLflow keeps runs: $MLFLOW_TRACKING_URI, or the database in `mlruns`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(mlruns / "mlflow.db")


def connect(mlruns: Path) -> MlflowClient:
    """A client of the tracking store and registry; the database is made if it is not there."""
    uri = tracking_uri(mlruns)
    mlflow.set_tracking_uri(uri)
    path = sqlite_file(uri)
    if path:
        _make_database(path)
    client = MlflowClient(uri)  # brings the tables of an older MLflow up to date
    if path:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and a writer at once
    return client


def _make_database(path: Path) -> None:
    """Make MLflow's tables in a new file, all or none: it cannot go on with a part of them."""
    if path.exists():
        return
    partly = path.with_name(f"{path.name}.part")
    with file_lock(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            for left in path.parent.glob(f"{partly.name}*"):
                left.unlink()  # by a kill
            MlflowClient(sqlite_url(partly))
            partly.rename(path)


def explain(error: Exception, mlruns: Path) -> str:
    """Return in one line, without passwords, what MLflow or its database answered."""
    place = f"MLflow at {hide_passwords(tracking_uri(mlruns))}"
    text = hide_passwords(str(error)).strip().split("\n")[0]
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
    """The id of MLflow's experiment `name`, made if it is not there."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    if found is not None:
        place = hide_passwords(tracking_uri(mlruns))
        raise UserError(
            f"MLflow's experiment {name!r} is deleted; type `mlflow experiments restore "
            f"-x {found.experiment_id}` with MLFLOW_TRACKING_URI={place}"
        )
    # A server keeps artifacts in a place of its own; with a bare database it has to be said.
    local = not tracking_uri(mlruns).startswith("http")
    location = (mlruns.absolute() / "artifacts" / name).as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=location))


def valid_name(name: str) -> str:
    """Return a name as MLflow takes it: letters, digits and `_-. :/`, and like a relative path.

    Two names stay two: one that has to change ends with a digest of what it was.
    """
    text = posixpath.normpath(re.sub(r"[^\w\-.: /]", "_", name)).lstrip("./")
    if text == name and 0 < len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{text[: MAX_ENTITY_KEY_LENGTH - 9]}_{digest}"


def user() -> str:
    """The name of the user, or else the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry in /etc/passwd
        return str(os.getuid())
