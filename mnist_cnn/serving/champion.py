"""The registry's champion, loaded and ready to predict; a new one replaces it without a restart.

A new champion is loaded while the old one still serves. A request picks its champion once, at the
start, so it never sees a change. If the registry cannot be reached, or a new champion cannot be
loaded, the last good one stays in service.
"""

import sqlite3
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
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
from mnist_cnn.serving.inference import Predictor
from mnist_cnn.serving.schemas import ModelInfo
from mnist_cnn.tracking.client import tracking_uri
from mnist_cnn.training import saved_model
from mnist_cnn.urls import hide_passwords, sqlite_file

POLL_SECONDS = 1.0
# Before a version that failed to load is tried again: its files may still be on their way.
RETRY_SECONDS = 15.0
# What is known of a version's test: its tags of these names.
TEST_SCORES = ("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss")


@dataclass(frozen=True)
class Champion:
    """A version of the model and what is known about it. Immutable: a new champion is a new one.

    Attributes:
        info: Its description in the API.
        predictor: The model, compiled and warm.
    """

    info: ModelInfo
    predictor: Predictor


class Watcher(threading.Thread):
    """A thread that keeps `champion` up to date with the registry, from `start` to `close`.

    Attributes:
        champion: The last good champion; None if there was none so far.
        problem: Why `champion` may differ from the registry's, in one line; None if it does not.
    """

    def __init__(self, model_name: str | None = None) -> None:
        """
        Args:
            model_name: The registered model, see `registry.store.choose`. None is decided once,
                when the first champion is loaded.
        """
        super().__init__(name="watcher", daemon=True)
        self._wanted = model_name
        self.champion: Champion | None = None
        self.problem: str | None = None
        self._client: MlflowClient | None = None
        self._served: object = None
        self._failed: object = None
        self._failed_at = 0.0
        self._closing = threading.Event()

    def run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self.look()

    def close(self) -> None:
        """Stop polling. Does not wait for a check that is under way."""
        self._closing.set()

    def look(self) -> None:
        """Check the registry once, and load its champion if that has changed."""
        try:
            with store.answering():
                self._look()
        except UserError as error:
            self.problem = str(error).splitlines()[0]
        except Exception as error:  # whatever MLflow's stores raise; the last good one stays
            first_line = f"{type(error).__name__}: {error}".splitlines()[0]
            self.problem = hide_passwords(first_line)

    def _look(self) -> None:
        database = sqlite_file(tracking_uri(MLRUNS))
        if database and not database.exists():  # MLflow would create an empty one
            self._client = None
            self._without_champion(f"there is no registry at {database}")
            return
        if database and not _is_there(_champions_in(database), self._wanted):
            self._without_champion("the registry has no champion any more")
            return
        if self._client is None:
            self._client = store.connect()
        version = _find(self._client, self._wanted)
        if version is None:
            self._without_champion("the registry has no champion any more")
            return
        # The number alone is not enough: a new registry counts from 1 again.
        identity = (version.version, version.creation_timestamp, version.source)
        if identity == self._served:
            self.problem = None
        elif identity != self._failed or time.monotonic() > self._failed_at + RETRY_SECONDS:
            self._failed, self._failed_at = identity, time.monotonic()
            try:
                self.champion = _load(self._client, version)
            except Exception as error:
                raise UserError(f"version {version.version} cannot be served: {error}") from None
            self._served, self._failed, self.problem = identity, None, None
            self._wanted = version.name  # from now on, whatever else is promoted

    def _without_champion(self, problem: str) -> None:
        """Keep the last champion and record why. Before the first one there is no problem."""
        self.problem = problem if self.champion else None


def _find(client: MlflowClient, wanted: str | None) -> ModelVersion | None:
    """The champion to serve; None before its first promotion.

    Raises:
        UsageError: None was named and there are several.
    """
    there = {str(version.name): version for version in store.champions(client)}
    return there.get(wanted or store.choose(sorted(there), None))


def load_champion(client: MlflowClient, model_name: str | None) -> Champion:
    """Return a champion, ready to predict.

    Args:
        client: Of the registry.
        model_name: The registered model, see `registry.store.choose`.

    Raises:
        UsageError: There is no such model, or no champion yet.
        UserError: Its files are gone or damaged, or it does not classify images.
    """
    name = store.choose(sorted(each.name for each in store.champions(client)), model_name)
    return _load(client, store.version(client, name, "champion"))


def check_model_name(wanted: str | None) -> None:
    """Check that there is one champion to serve, or none at all and none is named.

    Raises:
        UsageError: The one that is named has no champion, or none is named and there are several.
        UserError: The registry's database cannot be read.
    """
    database = sqlite_file(tracking_uri(MLRUNS))
    if database:
        with store.answering():
            there = _champions_in(database) if database.exists() else []
    else:
        try:
            with store.answering():
                there = sorted(version.name for version in store.champions(store.connect()))
        except UserError:  # the app starts, and says so until the server answers
            return
    store.choose(there, wanted)


def _is_there(names: Sequence[str], wanted: str | None) -> bool:
    return wanted in names if wanted else bool(names)


def _champions_in(database: Path) -> list[str]:
    """The models that have a champion in the registry in a SQLite file, read without MLflow.

    MLflow creates and migrates tables as soon as it connects, which would disturb a search that is
    creating them in another process. So MLflow connects only once there is a champion to load.
    """
    file = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(file, uri=True)) as connection:
        tables = "SELECT 1 FROM sqlite_master WHERE name = 'registered_model_aliases'"
        if connection.execute(tables).fetchone() is None:
            return []
        names = "SELECT name FROM registered_model_aliases WHERE alias = 'champion'"
        return sorted(name for (name,) in connection.execute(names))


def _load(client: MlflowClient, version: ModelVersion) -> Champion:
    """Download the version's model, compile it and warm it up; takes a few seconds.

    Raises:
        UserError: Its files are gone or damaged, or it does not classify images.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = models.from_version(version, Path(folder))
        model = saved_model.load(found.file)
    shape, classes = saved_model.shape_of(model), saved_model.classes_of(model)
    answers = found.answers
    if answers.like_mnist:
        mnist = datasets.mnist()
        expected = mnist.rgb() if shape[2] == 3 else mnist
        saved_model.check_fits(model, "this page", expected.shape, mnist.classes)
    predictor = Predictor(model)
    probabilities = predictor(np.zeros((1, *shape), np.float32))
    if not np.isclose(probabilities.sum(), 1, atol=1e-2):  # False for NaN
        raise UserError("its outputs are not probabilities")
    scores = _test_scores(client, version)
    info = ModelInfo(
        name=version.name,
        version=str(version.version),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
        run_id=version.run_id or None,
        parameters=model.count_params(),
        input_shape=list(shape),
        classes=classes,
        class_names=[answers.name(index) for index in range(classes)],
        like_mnist=answers.like_mnist,
        test_accuracy=scores.get("test_accuracy"),
        test_accuracy_low=scores.get("test_accuracy_low"),
        test_accuracy_high=scores.get("test_accuracy_high"),
        test_loss=scores.get("test_loss"),
        card=version.description or "",
    )
    return Champion(info, predictor)


def _test_scores(client: MlflowClient, version: ModelVersion) -> dict[str, float]:
    """The scores of the version's test by the names of metrics, as far as they are known.

    They are tags of the version. Before 0.6.0 they were metrics of its run only, where another
    model may have replaced them since.
    """
    found = {}
    for name in TEST_SCORES:
        with suppress(KeyError, ValueError):  # there is no such tag, or it is somebody else's
            found[name] = float(version.tags[name])
    if found or not version.run_id:
        return found
    try:
        return dict(client.get_run(version.run_id).data.metrics)
    except MlflowException:
        return {}
