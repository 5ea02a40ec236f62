"""Optuna's storage: a SQLite file in mlruns/, or the database that a URL names."""

import functools
import time
from pathlib import Path

import optuna
import sqlalchemy

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.urls import hide_passwords, sqlite_file, sqlite_url

optuna.logging.set_verbosity(optuna.logging.ERROR)

SQLITE_TIMEOUT_SECONDS = 60  # how long a writer waits for the lock; a write takes milliseconds
BACKENDS = ("sqlite", "postgresql")

# SQLite's write-ahead log is shared memory, which the machines on such a disk do not share.
NETWORK_DISKS = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"),
    *("gpfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"),
}

# Optuna makes its tables if they are not there, and does not expect that others do so meanwhile.
TRIES, PAUSE_SECONDS = 5, 0.3


def default_storage() -> str:
    """Return where Optuna keeps studies, unless another URL is given."""
    return sqlite_url(MLRUNS / "optuna.db")


def exists(url: str) -> bool:
    """Return whether the storage at `url` is there. To open one of SQLite would make it."""
    try:
        parts = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return True  # to open it says what is wrong
    return parts.get_backend_name() != "sqlite" or Path(parts.database or ".").exists()


@functools.cache
def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Return Optuna's storage at `url`, ready for many processes.

    Raises:
        UsageError: It cannot be opened, or its database has no lock for a study.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _connect(url)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            # Without a statement there was no connection, which a second try does not bring.
            if not tries_left or not getattr(error, "statement", None):
                raise _cannot_open(url, error) from None
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


def storage_failed(error: Exception) -> UserError:
    """Return the message for a storage that does not take or give what is asked of it."""
    cause = error.__cause__ or error.__context__ or error  # Keras raises the first `from None`
    reason = hide_passwords(str(getattr(cause, "orig", cause)).splitlines()[0])
    return UserError(
        f"Optuna's storage failed: {reason}; what is finished is safe, mend it (is the disk "
        "full, or the server away?) and type the same command again"
    )


def _connect(url: str) -> optuna.storages.RDBStorage:
    backend = sqlalchemy.make_url(url).get_backend_name()
    if backend not in BACKENDS:
        raise sqlalchemy.exc.ArgumentError(f"{backend} is not one of {' and '.join(BACKENDS)}")
    if backend == "postgresql":
        # A connection that its server dropped is replaced before it is used.
        return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    file = sqlite_file(url)
    if file is None:
        raise sqlalchemy.exc.ArgumentError("workers cannot share a database in memory")
    if (kind := disk_of(file, _mounts())) in NETWORK_DISKS:
        raise sqlalchemy.exc.ArgumentError(
            f"{file} lies on a network disk ({kind}), where SQLite is not safe; name a file on a "
            "disk of this machine, or PostgreSQL"
        )
    wait = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=wait)
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers beside a writer
    return storage


def _cannot_open(url: str, error: Exception) -> UsageError:
    # Of a missing driver Optuna says that it is missing, and only the cause says which.
    cause = error.__cause__ if isinstance(error, ImportError) else None
    reason = str(cause or error).splitlines()[0]
    return UsageError(
        f"cannot open the storage {hide_passwords(url)!r}: {hide_passwords(reason)}; valid: a URL "
        f"of SQLite or PostgreSQL as SQLAlchemy writes it, such as {default_storage()!r}"
    )


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text()
    except OSError:  # not Linux
        return ""


def disk_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that `path` lies on; "" if it cannot be told.

    Args:
        path: Need not exist.
        mounts: The text of /proc/self/mounts.
    """
    found, longest = "", -1
    resolved = path.resolve()
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        # Blanks and backslashes stand there in octal.
        folder = Path(place.encode().decode("unicode_escape"))
        if resolved.is_relative_to(folder) and len(folder.parts) > longest:
            found, longest = kind, len(folder.parts)
    return found
