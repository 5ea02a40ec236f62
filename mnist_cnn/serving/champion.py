"""The registry's champion, ready to answer; a new one takes over while the app runs.

A new champion is made ready beside the old one. Requests take the champion once, at their
beginning, and keep it; so none ever sees a change. If the registry cannot be reached, or a new
champion cannot be loaded, the last good one goes on.
"""

import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnist_cnn import datasets
from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.registry import models, store
from mnist_cnn.serving.answers import ModelInfo
from mnist_cnn.serving.inference import Predictor
from mnist_cnn.tracking.client import tracking_uri
from mnist_cnn.training import saved_model
from mnist_cnn.urls import sqlite_file

SECONDS = 1.0  # between two looks into the registry
# A version that could not be loaded is tried again after this; its files may be on their way.
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Champion:
    """A version of the model with its figures; it never changes, another one replaces it."""

    info: ModelInfo
    predictor: Predictor


class Watcher(threading.Thread):
    """Keeps `champion` up to date, from `start` until `close`.

    champion: the last good one; None if there never was one.
    problem: one line on why that may not be the registry's; None if it is.
    """

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self.champion: Champion | None = None
        self.problem: str | None = None
        self._client: MlflowClient | None = None
        self._served: object = None
        self._failed: object = None
        self._failed_at = 0.0
        self._closing = threading.Event()

    def run(self) -> None:
        while not self._closing.wait(SECONDS):
            self.look()

    def close(self) -> None:
        """End after the look under way, without waiting for it."""
        self._closing.set()

    def look(self) -> None:
        """Look into the registry once, and load its champion if that is another one."""
        try:
            with store.answering():
                self._look()
        except UserError as error:
            self.problem = str(error).splitlines()[0]
        except Exception as error:  # MLflow's stores raise their own; the last good one goes on
            self.problem = f"{type(error).__name__}: {error}".splitlines()[0]

    def _look(self) -> None:
        database = sqlite_file(tracking_uri(MLRUNS))
        if database and not database.exists():  # MLflow would make an empty one
            self._client = None
            self.problem = f"there is no registry at {database}" if self.champion else None
            return
        version = None
        if not database or _has_champion(database):
            self._client = self._client or store.connect()
            version = _find(self._client)
        if version is None or self._client is None:
            self.problem = "the registry has no champion any more" if self.champion else None
            return
        # A number alone can come back, in a registry that was made anew.
        identity = (version.version, version.creation_timestamp, version.source)
        if identity == self._served:
            self.problem = None
        elif identity != self._failed or time.monotonic() > self._failed_at + PATIENCE_SECONDS:
            self._failed, self._failed_at = identity, time.monotonic()
            try:
                self.champion = _load(self._client, version)
            except Exception as error:
                raise UserError(f"version {version.version} cannot be served: {error}") from None
            self._served, self._failed, self.problem = identity, None, None


def _find(client: MlflowClient) -> ModelVersion | None:
    """The version that is champion now; None before the first promotion."""
    found = store.registered(client)
    number = found.aliases.get("champion") if found else None
    return client.get_model_version(store.REGISTERED_NAME, str(number)) if number else None


def _has_champion(database: Path) -> bool:
    """Whether a registry in a file has a champion, asked of the file itself.

    MLflow makes and alters tables as soon as it connects. A search that is just making them in
    another process would be disturbed; so MLflow is asked only once there is something to find.
    """
    file = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(file, uri=True)) as connection:
        tables = "SELECT 1 FROM sqlite_master WHERE name = 'registered_model_aliases'"
        if connection.execute(tables).fetchone() is None:
            return False
        aliases = "SELECT 1 FROM registered_model_aliases WHERE name = ? AND alias = 'champion'"
        return connection.execute(aliases, [store.REGISTERED_NAME]).fetchone() is not None


def _load(client: MlflowClient, version: ModelVersion) -> Champion:
    """Fetch the version's model, compile it and warm it up; takes a few seconds.

    Raises UserError if its files are gone or damaged, or if it reads no MNIST digits.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = saved_model.load(models.from_version(client, version, Path(folder)).file)
    mnist = datasets.mnist()
    saved_model.check_fits(model, "this page", mnist.shape, mnist.classes)
    predictor = Predictor(model)
    answer = predictor(np.zeros((1, *mnist.shape), np.float32))
    if not np.isclose(answer.sum(), 1, atol=1e-2):  # false for NaN
        raise UserError("its outputs are no probabilities")
    figures = _test_figures(client, version)
    info = ModelInfo(
        name=store.REGISTERED_NAME,
        version=str(version.version),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
        run_id=version.run_id or None,
        parameters=model.count_params(),
        input_shape=list(mnist.shape),
        classes=mnist.classes,
        test_accuracy=figures.get("test_accuracy"),
        test_accuracy_low=figures.get("test_accuracy_low"),
        test_accuracy_high=figures.get("test_accuracy_high"),
        test_loss=figures.get("test_loss"),
        card=version.description or "",
    )
    return Champion(info, predictor)


def _test_figures(client: MlflowClient, version: ModelVersion) -> dict[str, float]:
    """What promotion measured, by the names of the run's metrics; empty if the run is gone."""
    try:
        return dict(client.get_run(version.run_id).data.metrics) if version.run_id else {}
    except MlflowException:
        return {}
