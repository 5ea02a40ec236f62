"""Optuna's storage: a SQLite file in mlruns/, or the database that a URL names."""

import functools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError

from mnist_cnn.errors import Unreachable, UsageError, UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.optuna_internals import storage_at
from mnist_cnn.urls import hide_passwords, sqlite_file, sqlite_url

optuna.logging.set_verbosity(optuna.logging.ERROR)

SQLITE_TIMEOUT_SECONDS = 60  # how long a writer waits for SQLite's lock; a write takes milliseconds
BACKENDS = ("sqlite", "postgresql")
GRPC = "grpc://"  # prefix of the URL of a storage that a search serves to its workers

# Errors of a storage that cannot be reached, or that fails.
StorageError = (StorageInternalError, grpc.RpcError)

# PostgreSQL's errors while it starts, stops or has no connection left. Without a code there was no
# connection.
_AWAY_CODES = ("08", "57P", "53300")

# SQLite's write-ahead log needs shared memory, which machines on a network disk do not have.
NETWORK_DISKS = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"),
    *("gpfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"),
}

# How to connect with the drivers that use PostgreSQL's own library. By default, a server that
# vanishes, such as behind a firewall, blocks the search for a quarter of an hour. With these, the
# system notices within 40 s.
_POSTGRESQL = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}

# Optuna creates missing tables, and fails if another process creates them at the same time.
TRIES, PAUSE_SECONDS = 5, 0.3


def default_storage() -> str:
    """Return the URL of the storage that is used unless the user gives another."""
    return sqlite_url(MLRUNS / "optuna.db")


def storage_option(url: str) -> str | None:
    """Return what to type after --storage for a storage; None if it is the default."""
    return None if url == default_storage() else url


def exists(url: str) -> bool:
    """Return whether there is a storage at `url`, without creating a SQLite file."""
    try:
        parts = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return True  # opening it raises an error that says what is wrong
    return parts.get_backend_name() != "sqlite" or Path(parts.database or ".").exists()


def storage_of_worker(url: str) -> optuna.storages.BaseStorage:
    """Return the storage at a URL that the search has given a worker.

    Raises:
        Unreachable: It cannot be reached now. The search has opened it, so the URL is right.
    """
    if url.startswith(GRPC):
        return _served(url)
    try:
        return open_storage(url)
    except UsageError as error:
        raise Unreachable(str(error)) from None


@functools.cache
def _served(url: str) -> optuna.storages.BaseStorage:
    host, _, port = url.removeprefix(GRPC).rpartition(":")
    return storage_at(host, int(port))


@functools.cache
def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Return Optuna's storage at `url`, which many processes can use at once.

    Raises:
        UsageError: The storage cannot be opened, or is not a kind of database that can lock a
            study.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _connect(url)
        except RuntimeError as error:  # of another version of Optuna, which says what to type
            raise _cannot_open(url, error) from None
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            # An error without a statement means that there is no connection: trying again is
            # useless.
            if not tries_left or not getattr(error, "statement", None):
                raise _cannot_open(url, error) from None
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


@contextmanager
def told_storage_errors() -> Iterator[None]:
    """Turn an error of the storage inside the block into a UserError, see `storage_failed`."""
    try:
        yield
    except StorageError as error:
        raise storage_failed(error) from error


def storage_failed(error: Exception) -> UserError:
    """Return the user's message for a storage that failed after it was opened.

    Returns:
        `Unreachable` if it cannot be reached, so that the same work succeeds once it can be.
    """
    if isinstance(error, grpc.RpcError):
        return Unreachable(f"Optuna's storage does not answer: {_details(error)}")
    cause = error.__cause__ or error.__context__ or error  # Keras raises the first `from None`
    reason = hide_passwords(str(getattr(cause, "orig", cause)).splitlines()[0])
    if _is_unavailable(cause):
        return Unreachable(f"Optuna's storage does not answer: {reason}")
    return UserError(
        f"Optuna's storage failed: {reason}; everything finished is saved: fix the problem (is the "
        "disk full, or the server down?) and type the same command again"
    )


def _details(error: grpc.RpcError) -> str:
    """Return why a call to the served storage failed, in one line."""
    details = error.details() if isinstance(error, grpc.Call) else None
    return hide_passwords(" ".join(str(details or error).split())[:300])


def _is_unavailable(cause: BaseException) -> bool:
    """Return whether an error of SQLAlchemy means that the server was not reached."""
    kinds = sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
    if not isinstance(cause, kinds) or not hasattr(cause.orig, "sqlstate"):
        return False  # SQLite, a file on this machine, has no such codes
    code = getattr(cause.orig, "sqlstate", None)
    return code is None or str(code).startswith(_AWAY_CODES)


def _connect(url: str) -> optuna.storages.RDBStorage:
    backend = sqlalchemy.make_url(url).get_backend_name()
    if backend not in BACKENDS:
        raise sqlalchemy.exc.ArgumentError(f"{backend} is not one of {' and '.join(BACKENDS)}")
    if backend == "postgresql":
        # `pool_pre_ping` replaces a connection that the server dropped before it is used.
        settings = {"pool_pre_ping": True, "connect_args": postgresql_arguments(url)}
        return optuna.storages.RDBStorage(url, engine_kwargs=settings)
    file = sqlite_file(url)
    if file is None:
        raise sqlalchemy.exc.ArgumentError("workers cannot share a database in memory")
    if (kind := disk_of(file, _mounts())) in NETWORK_DISKS:
        raise sqlalchemy.exc.ArgumentError(
            f"{file} is on a network disk ({kind}), where SQLite is not safe; use a file on a "
            "local disk, or PostgreSQL"
        )
    wait = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=wait)
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers do not wait for a writer
    return storage


def postgresql_arguments(url: str) -> dict[str, int]:
    """Return what to connect to PostgreSQL with, besides a URL, whose own settings count."""
    parts = sqlalchemy.make_url(url)
    if not parts.get_driver_name().startswith("psycopg"):
        return {}
    return {name: value for name, value in _POSTGRESQL.items() if name not in parts.query}


def _cannot_open(url: str, error: Exception) -> UsageError:
    # If a driver is missing, only the cause of Optuna's error names it.
    cause = error.__cause__ if isinstance(error, ImportError) else None
    reason = str(cause or error).splitlines()[0]
    return UsageError(
        f"cannot open the storage {hide_passwords(url)!r}: {hide_passwords(reason)}; valid: an "
        f"SQLAlchemy URL of SQLite or PostgreSQL, such as {default_storage()!r}"
    )


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text()
    except OSError:  # not Linux
        return ""


def disk_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds `path`, such as `ext4`.

    Args:
        path: A path, which need not exist.
        mounts: The text of /proc/self/mounts.

    Returns:
        The type, or "" if it is unknown.
    """
    found, longest = "", -1
    resolved = path.resolve()
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        # The file escapes spaces and backslashes in octal.
        folder = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))
        if resolved.is_relative_to(folder) and len(folder.parts) > longest:
            found, longest = kind, len(folder.parts)
    return found
