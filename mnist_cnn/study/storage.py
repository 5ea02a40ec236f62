"""Optuna's storage: a SQLite file in mlruns/, or whatever database a URL names."""

import functools
import time
from pathlib import Path

import optuna
import sqlalchemy
from sqlalchemy import Column, String, Table, Text

from mnist_cnn.errors import UsageError
from mnist_cnn.mlruns import MLRUNS

optuna.logging.set_verbosity(optuna.logging.ERROR)

SQLITE_TIMEOUT_SECONDS = 60  # how long a writer waits for the lock; a write takes milliseconds
# Who goes on with which study; see `claim`.
CLAIMS = Table(
    "mnist_cnn_claims",
    sqlalchemy.MetaData(),
    Column("study", String(512), primary_key=True),
    Column("signature", Text, nullable=False),
)

# Optuna makes its tables if they are not there, and does not expect that others do so meanwhile.
TRIES, PAUSE_SECONDS = 5, 0.3


def default_storage() -> str:
    """Where Optuna keeps studies, unless another URL is given."""
    return f"sqlite:///{MLRUNS.absolute()}/optuna.db"


def exists(url: str) -> bool:
    """Whether the storage at `url` is there; to open one of SQLite would make it."""
    try:
        parts = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return True  # to open it says what is wrong
    return parts.get_backend_name() != "sqlite" or Path(parts.database or ".").exists()


@functools.cache
def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Return Optuna's storage at `url`, ready for many processes.

    Raises:
        UsageError: It cannot be opened.
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


def _cannot_open(url: str, error: Exception) -> UsageError:
    # Of a missing driver Optuna says that it is missing, and only the cause says which.
    cause = error.__cause__ if isinstance(error, ImportError) else None
    reason = str(cause or error).splitlines()[0]
    return UsageError(
        f"cannot open the storage {url!r}: {reason}; valid: a database URL as SQLAlchemy's, "
        f"such as {default_storage()!r}"
    )


def _connect(url: str) -> optuna.storages.RDBStorage:
    sqlite = url.startswith("sqlite")
    wait = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}} if sqlite else {}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=wait)
    if sqlite:
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers beside a writer
    CLAIMS.create(storage.engine, checkfirst=True)
    return storage
