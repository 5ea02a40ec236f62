"""What several test files share: a project's folder to work in, and a few real images."""

import os

# Before TensorFlow is imported by any test file: its start-up messages would hide a failure's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import importlib
import sys
from functools import cache
from pathlib import Path

import optuna
import pytest
from projects import copy_project, forget_experiments, without_root

from mnist_cnn.datasets import Images, mnist

optuna.logging.set_verbosity(optuna.logging.WARNING)

# The files that take longest, the longest first. xdist hands them out in this order, so no process
# is left with a long one when the other has nothing to do.
LONGEST = (
    "test_search.py",
    "test_promotion.py",
    "test_actors.py",
    "test_contract_of_kerastuner.py",
    "test_serving_hostile.py",
    "test_serving_browser.py",
    "test_serving_api.py",
    "test_serving_connections.py",
    "test_contracts.py",
    "test_views.py",
    "test_api.py",
    "test_notebook.py",
    "test_backends.py",
    "test_odd_project.py",
    "test_own_images.py",
    "test_guides_of_kerastuner.py",
    "test_spaces.py",
    "test_fit.py",
    "test_trial.py",
    "test_strange_models.py",
    "test_serving_login.py",
    "test_login.py",
    "test_delivery_faults.py",
    "test_delivery.py",
    "test_local_pool.py",
    "test_hyperparameters_properties.py",
)


def pytest_collection_modifyitems(items):
    """Put the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_collection_finish():
    """Spare Python's garbage collector what was imported: Keras has it run before each model."""
    gc.collect()
    gc.freeze()


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
