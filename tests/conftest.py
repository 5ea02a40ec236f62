"""What several test files share: a project's folder to work in, and a few real images."""

import os

# Before TensorFlow is imported by any test file: its start-up messages would hide a failure's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import importlib
import sys
from functools import cache
from pathlib import Path

import optuna
import pytest
from projects import copy_project, forget_experiments, without_root

from mnist_cnn.datasets import Images, mnist

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="session", autouse=True)
def mnist_is_read_once():
    """Keep MNIST's images in this process: reading them takes half a second, a hundred times."""
    module = importlib.import_module("mnist_cnn.datasets.sources.mnist")
    read = module._read

    @cache
    def read_once(part):
        images = read(part)
        images.x.setflags(write=False)
        images.y.setflags(write=False)
        return images

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_read", read_once)
        yield read


@pytest.fixture(autouse=True)
def plain_precision():
    """Reset Keras's dtype policy, which a training leaves behind that a test has killed."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's root of its own, with the repository's experiments and spaces, as current folder.

    Experiments are loaded from it, and MLflow and Optuna write to its empty mlruns/.
    """
    copy_project(tmp_path)
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # `python -m pytest` puts the repository's root there, and with it its experiments.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *without_root(sys.path)])
    # Two edits within a second would leave a compiled file that looks up to date.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget_experiments()
    yield tmp_path
    forget_experiments()


@pytest.fixture
def small(project):
    """The experiment `small` of a project, whose trials run in this process."""
    from small import Small  # imports TensorFlow

    made = Small(project)
    made.forget()
    yield made
    made.forget()


@pytest.fixture(scope="session")
def images():
    """MNIST's first few hundred training images."""
    few = mnist().first(400).train()
    return Images(few.x.copy(), few.y.copy())  # which may be written to


@pytest.fixture(scope="session")
def digit_model():
    """The file of a small net that reads 98 % of MNIST's digits, from `serving_project.train`."""
    return Path(__file__).parent / "support/digits.keras"


@pytest.fixture(scope="session")
def served(tmp_path_factory, digit_model):
    """The web app, served by the command, with that net as version 1; read only."""
    from serving_project import Project

    project = Project(tmp_path_factory.mktemp("served"))
    project.promote(digit_model, test_accuracy=0.96)
    with project.served() as app:
        yield app
