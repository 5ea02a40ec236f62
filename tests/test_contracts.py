"""What every experiment and every search space keeps to, by lying in its folder in git."""

import ast
import importlib

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from eager import eagerly
from projects import ROOT, tracked

from mnist_cnn.experiment import Experiment
from mnist_cnn.experiment_id import experiment_id
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.training.preflight import check

EXPERIMENTS = [path.stem for path in tracked("experiments/[!_]*.py")]
MODULES = {path.stem: ast.parse(path.read_text()) for path in tracked("search_spaces/*.py")}
SPACES = sorted(
    name
    for name, module in MODULES.items()
    if name in [item.name for item in module.body if isinstance(item, ast.FunctionDef)]
)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_introduces_itself(name):
    text = ast.get_docstring(ast.parse((ROOT / "experiments" / f"{name}.py").read_text()))
    assert f"EXPERIMENT={name}" in text or "DATA=" in text
    for word in ("Cost:", "Result:"):
        assert word in text


def marked(name):
    """Building KerasTuner's own networks takes seconds."""
    slow = name.startswith("keras_tuner")
    return pytest.param(name, marks=pytest.mark.compatibility if slow else ())


@pytest.mark.parametrize("name", map(marked, EXPERIMENTS))
def test_an_experiment_passes_its_own_check(name, project, images):
    data = None
    if name == "images":
        data = project / "few.npz"
        np.savez(data, x=images.x, y=images.y)
    identity = experiment_id(name, data)
    assert isinstance(load_experiment(identity), Experiment)
    with eagerly():
        assert check(identity).name == identity.name


@pytest.mark.parametrize("name", MODULES)
def test_a_space_is_a_function_named_like_its_file_and_all_is_documented(name):
    defined = [item for item in MODULES[name].body if isinstance(item, ast.FunctionDef)]
    assert ast.get_docstring(MODULES[name])
    assert all(ast.get_docstring(item) for item in defined if not item.name.startswith("_"))
    # What spaces share has no such function, and is imported by one at least.
    importing = f"from search_spaces.{name} import"
    shared = any(importing in (ROOT / f"search_spaces/{space}.py").read_text() for space in SPACES)
    assert name in SPACES or shared


@pytest.mark.parametrize("name", SPACES)
def test_a_space_builds_classifiers_and_the_same_one_when_a_trial_is_replayed(name):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        hp = TrialHyperParameters(study.ask())
        model = load_space(name)(hp)
        assert isinstance(model, keras.Model) and model.compiled
        given = np.asarray(model(np.random.default_rng(0).random((4, *model.input_shape[1:]))))
        assert given.dtype == np.float32
        np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-5)
    again = TrialHyperParameters(optuna.trial.FixedTrial(study.trials[-1].params))
    assert load_space(name)(again).count_params() == model.count_params()
    assert again.values == hp.values


@pytest.mark.parametrize("name", SPACES)
def test_a_space_runs_under_kerastuner(name, images, tmp_path):
    pytest.importorskip("tensorboard", reason="KerasTuner's search imports tensorboard")
    tuner = keras_tuner.RandomSearch(
        load_space(name), objective="val_accuracy", max_trials=1, directory=tmp_path, seed=0
    )
    x, y = images.x[:200], images.y[:200]
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    assert 0 <= tuner.oracle.get_best_trials(1)[0].score <= 1


def load_space(name):
    return getattr(importlib.import_module(f"search_spaces.{name}"), name)
