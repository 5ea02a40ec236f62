"""A model in MLflow's format: the Keras file with its signature and requirements."""

import shutil
from importlib.metadata import version
from pathlib import Path

import keras
import mlflow.keras
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from mnist_cnn.files import sync_folder, sync_tree
from mnist_cnn.training import saved_model

REQUIREMENTS = ("keras", "numpy", "tensorflow")


def write_mlflow_model(model_file: Path, folder: Path) -> None:
    """Write a model to a folder in MLflow's format, completely or not at all.

    The model's input is float32 of shape (n, height, width, channels) in [0, 1], its output float32
    probabilities of shape (n, classes). They have no names in the signature, because MLflow would
    pass a named input as a dictionary, which Keras refuses.

    Args:
        model_file: The .keras file.
        folder: The folder. If it exists it is replaced.
    """
    with saved_model.only_keras():
        model = keras.models.load_model(model_file)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.float32), (-1, *model.input_shape[1:]))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, *model.output_shape[1:]))]),
    )
    partly = folder.with_suffix(".part")
    shutil.rmtree(partly, ignore_errors=True)
    mlflow.keras.save_model(
        model,
        str(partly),
        signature=signature,
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )
    # MLflow has saved the model again. Replace that by the file that was tested, so that both have
    # the same digest.
    shutil.copyfile(model_file, partly / "data" / "model.keras")
    sync_tree(partly)
    shutil.rmtree(folder, ignore_errors=True)
    partly.replace(folder)
    sync_folder(folder.parent)
