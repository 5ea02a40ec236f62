"""For tests of promotion: a project, and finished runs with tiny models."""

import shutil
from contextlib import nullcontext

import keras
import numpy as np
from mlflow import MlflowClient
from projects import copy_database, copy_project

from mnist_cnn.datasets import mnist
from mnist_cnn.mlruns import MLRUNS, MODEL_FILE
from mnist_cnn.tracking.client import experiment_id
from mnist_cnn.training.export import write_mlflow_model

# The test set of this experiment cannot be read while there is a file `locked`.
EXPERIMENT = """
from dataclasses import replace
from pathlib import Path

from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import Confirm, Experiment
from search_spaces.tiny import tiny


def test_images():
    if Path("locked").exists():
        raise RuntimeError("somebody read the test set")
    return mnist().test()[slice(500)]


def few_images():
    return replace(mnist().first(600), test=test_images)


experiment = Experiment(
    space=tiny,
    dataset=few_images,
    trials=2,
    epochs=1,
    batch_size=100,
    confirm=Confirm(trials=1, seeds=1),
)
"""
SPACE = """
import keras


def tiny(hp):
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(hp.Int("units", 8, 32), activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def write_project(root):
    """Write a project with the experiment `tiny`."""
    copy_project(root)
    copy_database(root / "mlruns")
    (root / "experiments" / "tiny.py").write_text(EXPERIMENT)
    (root / "search_spaces" / "tiny.py").write_text(SPACE)


def save_memorising_model(path, wrong):
    """Save a model that is right on the experiment's 500 test images, except the first ones.

    The first layer finds the test image that is most similar to its input; by the Cauchy-Schwarz
    inequality, that is the image itself. The second layer has the class of each image.

    Args:
        path: The .keras file.
        wrong: How many images are classified wrongly.
    """
    images = mnist().test()[slice(500)]
    x = images.x.reshape(500, -1)
    finding = 1000 * x.T / np.linalg.norm(x, axis=1)
    known = np.where(np.arange(500) < wrong, (images.y + 1) % 10, images.y)
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(500, activation="softmax", use_bias=False),
        keras.layers.Dense(10, use_bias=False),
    ]
    model = keras.Sequential(layers)
    model.set_weights([finding, np.eye(10)[known]])
    model.save(path)


def log_study(client: MlflowClient, name, model, folder, kind="study"):
    """Create a finished run with a model, as a search delivers it, and return its id."""
    experiment = experiment_id(client, "tiny", MLRUNS)
    tags = {"kind": kind} if kind else {}
    run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    log_winner(client, run_id, model, folder)
    client.set_terminated(run_id)
    return run_id


def log_winner(client: MlflowClient, run_id, model, folder):
    """Log a model to a run, as a search does with the winner; a study may get another one later."""
    experiment = client.get_run(run_id).info.experiment_id
    file = folder / MODEL_FILE
    shutil.copy(model, file)
    client.log_artifact(run_id, str(file))
    write_mlflow_model(file, folder / "model")
    logged = client.create_logged_model(experiment, "digit_recog_mnist_cnn", source_run_id=run_id)
    client.log_model_artifacts(logged.model_id, str(folder / "model"))
    client.finalize_logged_model(logged.model_id, "READY")


def share(worker, patch):
    """Give the commands a running process instead of a new one, which would import TensorFlow."""
    patch.setattr("mnist_cnn.evaluation.worker.ModelWorker", lambda: nullcontext(worker))
    patch.setattr(
        "mnist_cnn.search_process.start.pool_of", lambda *wanted: nullcontext(worker._workers)
    )
