"""Optuna's storage: a SQLite file in mlruns/, or whatever database a URL names."""

import functools

import optuna
import sqlalchemy

from mnist_cnn.errors import UsageError
from mnist_cnn.mlruns import MLRUNS

optuna.logging.set_verbosity(optuna.logging.ERROR)

SQLITE_TIMEOUT_SECONDS = 60  # that a writer waits for its turn; a write takes milliseconds


def default_storage() -> str:
    """Where Optuna keeps studies, unless another URL is given."""
    return f"sqlite:///{MLRUNS.absolute()}/optuna.db"


@functools.cache  # with it the finished trials that were read: a study of thousands takes seconds
def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna's storage at `url`, ready for many processes. Raises UsageError if it cannot be."""
    sqlite = url.startswith("sqlite")
    wait = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}} if sqlite else {}
    try:
        storage = optuna.storages.RDBStorage(url, engine_kwargs=wait)
        if sqlite:
            with storage.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers beside a writer
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"cannot open the storage {url!r}: {reason}; valid: a database URL as SQLAlchemy's, "
            f"such as {default_storage()!r}"
        ) from None
    return optuna.storages.get_storage(storage)
