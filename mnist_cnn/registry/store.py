"""MLflow's registry: reaching it, and the versions of the model in it."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.tracking import client as tracking

REGISTERED_NAME = "digit_recog_mnist_cnn"

# Tags of a version: which test images it answered when it was promoted, and how many rightly.
TEST_DATA, TEST_RIGHT = "test.images.sha256", "test.right"


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow raises, when it cannot be reached or refuses, into a UserError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        place = re.sub(r"//[^/@]*@", "//", tracking.tracking_uri(MLRUNS))  # without a password
        first = str(error).strip().split("\n")[0]
        if "Max retries exceeded" in first or "Connection" in first:
            raise UserError(
                f"MLflow at {place} cannot be reached; start it, or set MLFLOW_TRACKING_URI"
            ) from None
        raise UserError(f"MLflow at {place} refuses: {first}") from None


def connect(experiment_name: str | None = None) -> MlflowClient:
    """A client of the tracking store and the registry.

    experiment_name: the one that a user without any runs is told to search, if there must be runs.
    """
    database = sqlite_file(tracking.tracking_uri(MLRUNS))
    if experiment_name and database and not database.exists():
        raise UserError(
            f"there are no runs yet, as there is no {database}; type `make search "
            f"EXPERIMENT={experiment_name}`"
        )
    return tracking.connect(MLRUNS)


def version(client: MlflowClient, alias: str) -> ModelVersion:
    """The version that an alias stands for.

    Raises UsageError naming the aliases that there are.
    """
    found = registered(client)
    if found is None:
        raise UsageError(f"there is no champion yet, nor any {alias!r}; type `make promote`")
    if alias not in found.aliases:
        valid = ", ".join(sorted(found.aliases)) or "none yet, type `make promote`"
        raise UsageError(f"{REGISTERED_NAME} has no alias {alias!r}; valid: {valid}")
    return client.get_model_version(REGISTERED_NAME, str(found.aliases[alias]))


def register(
    client: MlflowClient, model_id: str, run_id: str, card: str, tags: dict[str, str]
) -> str:
    """The version that holds the logged model, made if there is none; it has no alias yet."""
    if registered(client) is None:
        try:
            client.create_registered_model(REGISTERED_NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    source = f"models:/{model_id}"
    for made in client.search_model_versions(f"name = '{REGISTERED_NAME}'"):
        if made.source == source:  # by a promotion that was killed, or of an earlier champion
            client.update_model_version(REGISTERED_NAME, made.version, card)
            for name, text in tags.items():
                client.set_model_version_tag(REGISTERED_NAME, made.version, name, text)
            return str(made.version)
    made = client.create_model_version(
        REGISTERED_NAME, source, run_id, tags, description=card, model_id=model_id
    )
    return str(made.version)


def by_test(client: MlflowClient, digest: str) -> list[ModelVersion]:
    """The versions that answered test images of this SHA-256: the best first, then the newest."""
    made = client.search_model_versions(f"name = '{REGISTERED_NAME}'")
    tested = [version for version in made if version.tags.get(TEST_DATA) == digest]
    return sorted(tested, key=lambda v: (-int(v.tags[TEST_RIGHT]), -int(v.version)))


def registered(client: MlflowClient) -> RegisteredModel | None:
    """The registered model, with its aliases and tags; None before the first promotion."""
    try:
        return client.get_registered_model(REGISTERED_NAME)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def sqlite_file(uri: str) -> Path | None:
    """The file of a store's database; None if it is a server's."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
