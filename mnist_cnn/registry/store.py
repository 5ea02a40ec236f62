"""MLflow's registry: connecting to it, and the versions of the registered model."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.tracking import client as tracking
from mnist_cnn.urls import sqlite_file

REGISTERED_NAME = "digit_recog_mnist_cnn"

# Tags of a version: the SHA-256 of its test images, and how many of them it classified correctly.
TEST_IMAGES, TEST_CORRECT = "test.images.sha256", "test.right"


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow raises, if it cannot be reached or refuses a request, into a UserError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise UserError(tracking.explain(error, MLRUNS)) from None


def connect(experiment: ExperimentId | None = None) -> MlflowClient:
    """Return a client of the tracking store and the registry.

    Args:
        experiment: If given, there must be runs already. Otherwise the error message tells the
            user to search this experiment.

    Raises:
        UserError: There are no runs yet.
    """
    database = sqlite_file(tracking.tracking_uri(MLRUNS))
    if experiment and database and not database.exists():
        raise UserError(
            f"there are no runs yet, because {database} does not exist; type `make search "
            f"{experiment.for_make}`"
        )
    return tracking.connect(MLRUNS)


def version(client: MlflowClient, alias: str) -> ModelVersion:
    """Return the version to which an alias points.

    Raises:
        UsageError: There is no such alias. The message names those that exist.
    """
    found = registered(client)
    if found is None:
        raise UsageError(f"there is no champion yet, nor any {alias!r}; type `make promote`")
    if alias not in found.aliases:
        valid = ", ".join(sorted(found.aliases)) or "none yet, type `make promote`"
        raise UsageError(f"{REGISTERED_NAME} has no alias {alias!r}; valid: {valid}")
    return client.get_model_version(REGISTERED_NAME, str(found.aliases[alias]))


def versions(client: MlflowClient) -> list[ModelVersion]:
    """Return all versions of the registered model."""
    return list(client.search_model_versions(f"name = '{REGISTERED_NAME}'"))


def register(
    client: MlflowClient, model_id: str, run_id: str, card: str, tags: dict[str, str]
) -> str:
    """Make a logged model a version of the registered model, if it is not one already.

    Args:
        client: Of the registry.
        model_id: The id of the logged model.
        run_id: The id of its run.
        card: The version's description.
        tags: The version's tags.

    Returns:
        The version's number.
    """
    if registered(client) is None:
        try:
            client.create_registered_model(REGISTERED_NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    source = f"models:/{model_id}"
    for known in versions(client):
        if known.source == source:  # from a promotion that was killed, or an earlier champion
            client.update_model_version(REGISTERED_NAME, known.version, card)
            for name, text in tags.items():
                client.set_model_version_tag(REGISTERED_NAME, known.version, name, text)
            return str(known.version)
    created = client.create_model_version(
        REGISTERED_NAME, source, run_id, tags, description=card, model_id=model_id
    )
    return str(created.version)


def versions_tested_on(client: MlflowClient, images_sha256: str) -> list[ModelVersion]:
    """Return the versions that were tested on these images.

    Returns:
        The versions with the most correct predictions first; of equal ones the newest.
    """
    tested = [v for v in versions(client) if v.tags.get(TEST_IMAGES) == images_sha256]
    return sorted(tested, key=lambda v: (-int(v.tags[TEST_CORRECT]), -int(v.version)))


def registered(client: MlflowClient) -> RegisteredModel | None:
    """Return the registered model with its aliases and tags; None before the first promotion."""
    try:
        return client.get_registered_model(REGISTERED_NAME)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
