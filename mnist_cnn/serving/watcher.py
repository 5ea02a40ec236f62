"""Follows the registry: a new champion is made ready beside the old one, and then takes over.

Requests take the champion once, at their beginning, and keep it; so none ever sees a change. If the
registry cannot be reached, or a new champion cannot be loaded, the last good one goes on.
"""

import threading
import time

from mlflow import MlflowClient

from mnist_cnn import tracking
from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.registry import store
from mnist_cnn.serving.champion import Champion, find, load

SECONDS = 1.0  # between two looks
# A version that could not be loaded is tried again after this; its files may be on their way.
PATIENCE_SECONDS = 15.0


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
            self.problem = str(error)
        except Exception as error:  # MLflow's stores raise their own; the last good one goes on
            self.problem = f"{type(error).__name__}: {error}".splitlines()[0]

    def _look(self) -> None:
        database = store.sqlite_file(tracking.tracking_uri(MLRUNS))
        if database and not database.exists():  # MLflow would make an empty one
            self._client = None
            self.problem = f"there is no registry at {database}" if self.champion else None
            return
        self._client = self._client or store.connect()
        version = find(self._client)
        if version is None:
            self.problem = "the registry has no champion any more" if self.champion else None
            return
        # A number alone can come back, in a registry that was made anew.
        identity = (version.version, version.creation_timestamp, version.source)
        if identity == self._served:
            self.problem = None
        elif identity != self._failed or time.monotonic() > self._failed_at + PATIENCE_SECONDS:
            self._failed, self._failed_at = identity, time.monotonic()
            try:
                self.champion = load(self._client, version)
            except Exception as error:
                raise UserError(f"version {version.version} cannot be served: {error}") from None
            self._served, self._failed, self.problem = identity, None, None
