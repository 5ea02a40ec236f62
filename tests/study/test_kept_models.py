"""The models that a study keeps: which of them are damaged, and what may replace them."""

import zipfile
from dataclasses import replace

import pytest
from studies import PLAN, ended

from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.study import models
from mnist_cnn.study.opening import open_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_study(PLAN, f"sqlite:///{tmp_path}/optuna.db") as opened:
        yield opened.study


def complete(study, model, values=(0.5,)):
    """Add a complete trial whose journal has the digest `model`. Return its folder."""
    number = study.trials.optuna_study.ask().number
    ended(study.trials.folder(number), "COMPLETE", values=list(values), model=model)
    study.trials.tell(number)
    return study.trials.folder(number)


def write_model(path, weights=b"weights"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", weights)
    return model_digest(path)


def test_a_missing_or_different_model_is_damaged_and_one_that_never_was_is_not(study, tmp_path):
    digest = write_model(tmp_path / MODEL_FILE)
    _, whole, other, gone, empty = (
        complete(study, model) for model in (None, digest, digest, digest, digest)
    )
    write_model(whole / MODEL_FILE)
    write_model(other / MODEL_FILE, b"others")
    (empty / MODEL_FILE).touch()
    assert models.damaged(study) == [other, gone, empty]
    models.drop(other, "it came out differently")
    assert models.damaged(study) == [gone, empty]


@pytest.fixture
def of_two_objectives(tmp_path, monkeypatch):
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    plan = replace(PLAN, objectives=(Maximize("val_accuracy"), Minimize("parameters")))
    with open_study(plan, f"sqlite:///{tmp_path}/optuna.db") as opened:
        yield opened.study


def test_each_model_of_a_front_is_checked(of_two_objectives, tmp_path):
    digest = write_model(tmp_path / MODEL_FILE)
    points = [(number / 10, number) for number in range(7)]
    gone = [complete(of_two_objectives, digest, point) for point in points]
    complete(of_two_objectives, digest, (0.0, 9))  # dominated, so its model was removed
    assert sorted(models.damaged(of_two_objectives)) == gone


def test_a_model_behind_the_front_is_not_missed(of_two_objectives, tmp_path):
    digest = write_model(tmp_path / MODEL_FILE)
    complete(of_two_objectives, digest, (0.5, 9))  # removed while the front was long
    front = complete(of_two_objectives, digest, (0.9, 1))  # which dominates all others
    assert models.damaged(of_two_objectives) == [front]


def test_only_the_same_model_replaces_a_damaged_one(study, tmp_path):
    made = tmp_path / MODEL_FILE
    folder = complete(study, write_model(made))
    write_model(folder / MODEL_FILE, b"damaged")
    assert models.restore(folder, made)
    assert models.damaged(study) == []
    write_model(folder / MODEL_FILE, b"damaged")
    write_model(made, b"others")
    assert not models.restore(folder, made)
    assert not models.restore(folder, tmp_path / "missing.keras")
    assert models.damaged(study) == [folder]
