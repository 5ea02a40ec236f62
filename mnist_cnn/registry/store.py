"""MLflow's registry: connecting to it, the registered models, and their versions.

There is a registered model for each data set, see `Dataset.model_name`.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MLRUNS, check_project
from mnist_cnn.tracking import client as tracking
from mnist_cnn.urls import sqlite_file

MNIST_MODEL = "digit_recog_mnist_cnn"  # the registered model of MNIST

# Tags of a version: the SHA-256 of its test images, and how many of them it classified correctly.
TEST_IMAGES, TEST_CORRECT = "test.images.sha256", "test.right"


@contextmanager
def answering() -> Iterator[None]:
    """Turn MLflow's errors, if it cannot be reached or refuses a request, into a UserError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise UserError(tracking.explain(error, MLRUNS)) from None


def connect(experiment: ExperimentId | None = None) -> MlflowClient:
    """Return a client of the tracking store and the registry.

    Args:
        experiment: If given, runs must exist. The error message says how to search this experiment.

    Raises:
        UsageError: The current folder is no project.
        UserError: There are no runs yet.
    """
    database = sqlite_file(tracking.tracking_uri(MLRUNS))
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        check_project()
    if experiment and database and not database.exists():
        raise UserError(
            f"there are no runs yet, because {database} does not exist; type `make search "
            f"{experiment.for_make}`"
        )
    if database and not database.exists():
        try:
            database.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {database.parent}: {error.strerror}") from None
    return tracking.connect(MLRUNS)


def check_name(name: str) -> None:
    """Check that MLflow takes a name of a registered model, and finds its versions again.

    Raises:
        UserError: It does not.
    """
    if set("/:?\n").intersection(name) or ("'" in name and '"' in name):
        raise UserError(
            f"MLflow cannot use a registered model called {name!r}, which has /, : or ?, or both ' "
            'and "; give the Dataset another `model_name`'
        )


def names(client: MlflowClient) -> list[str]:
    """Return the names of the registered models, sorted."""
    return sorted(found.name for found in _all(client))


def champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the champion of a registered model; None if there is none."""
    found = registered(client, name)
    if found is None or "champion" not in found.aliases:
        return None
    return client.get_model_version(name, str(found.aliases["champion"]))


def champions(client: MlflowClient) -> list[ModelVersion]:
    """Return the champion of each registered model that has one."""
    return [
        client.get_model_version(found.name, str(found.aliases["champion"]))
        for found in _all(client)
        if "champion" in found.aliases
    ]


def choose(there: Sequence[str], wanted: str | None) -> str:
    """Return the name of the registered model to use.

    Args:
        there: The existing names.
        wanted: The name that the user gave. None means MNIST's, or else the only one there is.

    Raises:
        UsageError: The wanted one does not exist, or none was named and there are several.
    """
    if wanted is not None:
        if wanted not in there:
            valid = ", ".join(there) or "none yet, type `make promote`"
            raise UsageError(
                f"there is no registered model {unknown(wanted, there)}; valid: {valid}"
            )
        return wanted
    if MNIST_MODEL in there or not there:
        return MNIST_MODEL
    if len(there) > 1:
        raise UsageError(
            f"there are several registered models; add --model-name; valid: {', '.join(there)}"
        )
    return there[0]


def version(client: MlflowClient, name: str, alias: str) -> ModelVersion:
    """Return the version of a registered model to which an alias points.

    Raises:
        UsageError: There is no such alias. The message names those that exist.
    """
    found = registered(client, name)
    if found is None:
        raise UsageError(f"there is no champion yet, nor any {alias!r}; type `make promote`")
    if alias not in found.aliases:
        valid = ", ".join(sorted(found.aliases)) or "none yet, type `make promote`"
        raise UsageError(f"{name} has no alias {unknown(alias, found.aliases)}; valid: {valid}")
    return client.get_model_version(name, str(found.aliases[alias]))


def numbered_version(client: MlflowClient, name: str, number: int) -> ModelVersion:
    """Return a version of a registered model by its number.

    Raises:
        UsageError: There is no such version. The message names those that exist.
    """
    found = {int(each.version): each for each in versions(client, name)}
    if number not in found:
        valid = ", ".join(map(str, sorted(found))) or "none yet, type `make promote`"
        raise UsageError(f"{name} has no version {number}; valid: {valid}")
    return found[number]


def versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model."""
    return list(client.search_model_versions(f"name = {tracking.in_filter(name)}"))


def register(
    client: MlflowClient, name: str, model_id: str, run_id: str, card: str, tags: dict[str, str]
) -> str:
    """Make a logged model a version of a registered model, if it is not one already.

    Args:
        client: Of the registry.
        name: The name of the registered model, which is created if it is missing.
        model_id: The id of the logged model.
        run_id: The id of its run.
        card: The version's description.
        tags: The version's tags.

    Returns:
        The version's number.
    """
    if registered(client, name) is None:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    source = f"models:/{model_id}"
    for known in versions(client, name):
        if known.source == source:  # from a promotion that was killed, or an earlier champion
            client.update_model_version(name, known.version, card)
            for tag, text in tags.items():
                client.set_model_version_tag(name, known.version, tag, text)
            return str(known.version)
    created = client.create_model_version(
        name, source, run_id, tags, description=card, model_id=model_id
    )
    return str(created.version)


def versions_tested_on(client: MlflowClient, name: str, images_sha256: str) -> list[ModelVersion]:
    """Return the versions of a registered model that were tested on these images.

    Returns:
        The versions with the most correct predictions first; of equal ones the newest.
    """
    tested = [
        version
        for version in versions(client, name)
        if version.tags.get(TEST_IMAGES) == images_sha256
        and version.tags.get(TEST_CORRECT, "").isdecimal()
    ]
    return sorted(tested, key=lambda v: (-int(v.tags[TEST_CORRECT]), -int(v.version)))


def registered(client: MlflowClient, name: str) -> RegisteredModel | None:
    """Return a registered model with its aliases and tags; None before the first promotion."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _all(client: MlflowClient) -> list[RegisteredModel]:
    found: list[RegisteredModel] = []
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        found += page
        if not (token := page.token):
            return found
