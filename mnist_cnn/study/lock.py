"""The lock of a study: one search at a time holds it, also when several machines share a storage.

Beside SQLite it is a lock on a file. In PostgreSQL it is an advisory lock on a connection of its
own. The system releases either when its holder dies, however it dies, so nothing depends on clocks
or heartbeats. A search that is suspended still holds its lock.
"""

import hashlib
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import sqlalchemy
from sqlalchemy.pool import NullPool

from mnist_cnn.errors import UserError
from mnist_cnn.file_lock import TICK_SECONDS, file_lock
from mnist_cnn.study.storage import postgresql_arguments, storage_failed
from mnist_cnn.urls import sqlite_file

# A machine that has crashed cannot close its connection. The server probes it every 10 s and drops
# the connection, and with it the lock, after 3 probes without an answer.
KEEPALIVES = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}

# `studies` holds the lock for a moment, to see whether a search does.
WAIT_SECONDS = 1.0


class StudyLocked(UserError):
    """Another search, or `delete`, holds the lock of the study."""


class _StillOurs(Exception):
    """A broken connection of this search itself still holds the lock."""


class StudyLock:
    """Locks a study for one search, from `__enter__` to `__exit__`.

    Args:
        storage: The URL of Optuna's storage.
        name: The study's name.
        shared: Whether it is only to be seen whether another search holds the lock. Several
            processes may look at once, and a search that begins waits for them.

    Raises:
        StudyLocked: On entering, if another search holds the lock.
        UserError: On entering, if the lock file cannot be written or PostgreSQL does not answer.
    """

    def __init__(self, storage: str, name: str, shared: bool = False) -> None:
        self._storage, self._name, self._shared = storage, name, shared
        self._held = ExitStack()
        self._connection: sqlalchemy.Connection | None = None
        self._backend: int | None = None  # the process of PostgreSQL that holds our lock

    def __enter__(self) -> Self:
        file, wait_seconds = sqlite_file(self._storage), 0.0 if self._shared else WAIT_SECONDS
        if file is None:
            try:
                self._connection = self._connect(wait_seconds)
            except sqlalchemy.exc.SQLAlchemyError as error:
                raise storage_failed(error) from error
            return self
        path = file.with_name(f"{file.name}.{self._name}.lock")
        try:
            self._held.enter_context(file_lock(path, wait_seconds, self._shared))
        except BlockingIOError:
            raise self._locked() from None
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()
        if self._connection:
            self._connection.close()

    def held(self) -> bool:
        """Check that this search may write the study, and reconnect if the connection is broken.

        Returns:
            Whether the lock is held. False while PostgreSQL cannot be reached.

        Raises:
            StudyLocked: Another search took the lock in the meantime. That search may have changed
                the study, so this one never gets the lock again.
        """
        if self._connection is None:
            return True
        if self._connection.closed:
            raise self._locked()
        try:
            self._connection.exec_driver_sql("SELECT 1")
            return True
        except sqlalchemy.exc.SQLAlchemyError:
            self._connection.invalidate()
        try:
            self._connection = self._connect()
        except sqlalchemy.exc.SQLAlchemyError:
            return False
        except _StillOurs:
            return False  # the server has not noticed yet that our old connection is broken
        except StudyLocked:
            self._connection.close()
            raise
        return True

    def _connect(self, wait_seconds: float = 0.0) -> sqlalchemy.Connection:
        """Return a new connection that holds the lock."""
        engine = sqlalchemy.create_engine(
            self._storage,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=postgresql_arguments(self._storage),
        )
        connection = engine.connect()
        for name, seconds in KEEPALIVES.items():
            connection.exec_driver_sql(f"SET {name} = {seconds}")
        digest = hashlib.sha256(f"mnist-cnn {self._name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        lock = sqlalchemy.func.pg_try_advisory_lock
        if self._shared:
            lock = sqlalchemy.func.pg_try_advisory_lock_shared
        query = sqlalchemy.select(lock(key))
        deadline = time.monotonic() + wait_seconds
        while not (locked := connection.scalar(query)) and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)
        if not locked:
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
            ours = self._backend and connection.exec_driver_sql(held, (self._backend,)).scalar()
            connection.close()
            raise _StillOurs if ours else self._locked()
        self._backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        return connection

    def _locked(self) -> StudyLocked:
        return StudyLocked(
            f"another search is running on {self._name}, or `mnist-cnn delete`; wait for it to "
            "end, or stop it"
        )
