"""The registry's champion, ready to answer."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnist_cnn import datasets
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import saved_model
from mnist_cnn.registry import models, store
from mnist_cnn.serving.answers import ModelInfo
from mnist_cnn.serving.predictor import Predictor


@dataclass(frozen=True)
class Champion:
    """A version of the model with its figures; it never changes, another one replaces it."""

    info: ModelInfo
    predictor: Predictor


def find(client: MlflowClient) -> ModelVersion | None:
    """The version that is champion now; None before the first promotion."""
    found = store.registered(client)
    number = found.aliases.get("champion") if found else None
    return client.get_model_version(store.REGISTERED_NAME, str(number)) if number else None


def load(client: MlflowClient, version: ModelVersion) -> Champion:
    """Fetch the version's model, compile it and warm it up; takes a few seconds.

    Raises UserError if its files are gone or damaged, or if it reads no MNIST digits.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = saved_model.load(models.from_version(client, version, Path(folder)).file)
    mnist = datasets.mnist()
    saved_model.check_fits(model, "this page", mnist.shape, mnist.classes)
    predictor = Predictor(model)
    answer = predictor(np.zeros((1, *mnist.shape), np.float32))
    if not np.isclose(answer.sum(), 1, atol=1e-2):  # false for NaN
        raise UserError("its outputs are no probabilities")
    figures = _test_figures(client, version)
    info = ModelInfo(
        name=store.REGISTERED_NAME,
        version=str(version.version),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
        run_id=version.run_id or None,
        parameters=model.count_params(),
        input_shape=list(mnist.shape),
        classes=mnist.classes,
        test_accuracy=figures.get("test_accuracy"),
        test_accuracy_low=figures.get("test_accuracy_low"),
        test_accuracy_high=figures.get("test_accuracy_high"),
        test_loss=figures.get("test_loss"),
        card=version.description or "",
    )
    return Champion(info, predictor)


def _test_figures(client: MlflowClient, version: ModelVersion) -> dict[str, float]:
    """What promotion measured, by the names of the run's metrics; empty if the run is gone."""
    try:
        return dict(client.get_run(version.run_id).data.metrics) if version.run_id else {}
    except MlflowException:
        return {}
