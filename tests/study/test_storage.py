"""What a user is told if the storage fails."""

import keras
import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.study.storage import open_storage, storage_failed


@pytest.fixture
def trial(tmp_path):
    """A trial whose reports the storage refuses."""
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    trial = optuna.create_study(storage=storage).ask()
    with storage.engine.connect() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE trial_intermediate_values"))
        connection.commit()
    return trial


class Report(keras.callbacks.Callback):
    def __init__(self, trial):
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch, logs=None):
        self.trial.report(0.5, epoch)


def test_the_reason_is_the_databases_own_in_one_line(trial):
    with pytest.raises(StorageInternalError) as failure:
        trial.report(0.5, 1)
    line = str(storage_failed(failure.value))
    assert line.startswith("Optuna's storage failed: no such table: trial_intermediate_values;")
    assert len(line.splitlines()) == 1


def test_the_reason_is_not_lost_in_a_training(trial):
    """Keras re-raises an exception of a callback without its cause."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse", jit_compile=False)
    with pytest.raises(StorageInternalError) as failure:
        model.fit(np.zeros((1, 1)), np.zeros((1, 1)), callbacks=[Report(trial)], verbose=0)
    assert "no such table" in str(storage_failed(failure.value))


URL = "postgresql+nothing://ada:hunter2@host/db"


def test_a_storage_that_cannot_be_opened_is_told_without_its_password():
    with pytest.raises(UserError, match=r"'postgresql\+nothing://\*\*\*@host/db'") as refusal:
        open_storage(URL)
    assert "hunter2" not in str(refusal.value)


def test_a_storage_that_fails_is_told_without_its_password():
    line = str(storage_failed(OSError(f"lost {URL}\nand more")))
    assert "lost postgresql+nothing://***@host/db;" in line and "hunter2" not in line


def test_a_storage_of_another_version_of_optuna_is_refused_in_one_line(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    with open_storage(url).engine.connect() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'v9.9.9.a'"))
        connection.commit()
    open_storage.cache_clear()
    with pytest.raises(UsageError) as refusal:
        open_storage(url)
    line = str(refusal.value)
    assert "no longer compatible with the table schema" in line and len(line.splitlines()) == 1
