"""Promotion: the best run's model becomes the champion of MLflow's registry.

Here, and in evaluation alone, the test set is opened.
"""

import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mnist_cnn import tracking
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import evaluate, load
from mnist_cnn.experiment import check_name, load_experiment
from mnist_cnn.mlruns import MLRUNS, MODEL_FILE

REGISTERED_NAME = "digit_recog_mnist_cnn"


def promote(experiment_name: str, run_id: str | None) -> list[str]:
    """Evaluate the run's model on the test set and make it the champion; lines for the user.

    run_id: a study's run; by default the newest finished study's of the experiment.

    Raises UsageError and UserError.
    """
    check_name(experiment_name)
    client = tracking.connect(MLRUNS)
    run = _study_run(client, experiment_name, run_id)
    with tempfile.TemporaryDirectory() as folder:
        model = load(_download(client, run, Path(folder)))
    figures = evaluate(model, load_experiment(experiment_name).dataset().test())
    _record_reading(client, run, figures.accuracy, figures.loss)
    logged = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    try:
        client.create_registered_model(REGISTERED_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    champion = client.get_registered_model(REGISTERED_NAME).aliases.get("champion")
    newest = max(logged, key=lambda model: model.creation_timestamp)
    version = client.create_model_version(
        REGISTERED_NAME,
        f"models:/{newest.model_id}",
        run_id=run.info.run_id,
        model_id=newest.model_id,
    )
    if champion:
        client.set_registered_model_alias(REGISTERED_NAME, "previous", champion)
    client.set_registered_model_alias(REGISTERED_NAME, "champion", version.version)
    return [
        f"{run.info.run_name}: test accuracy {figures.accuracy:.4f}, loss {figures.loss:.4f} "
        f"on {figures.images} images",
        f"champion is now version {version.version} of {REGISTERED_NAME}",
    ]


def _study_run(client: MlflowClient, experiment_name: str, run_id: str | None) -> Run:
    if run_id is not None:
        try:
            return client.get_run(run_id)
        except MlflowException:
            raise UserError(f"there is no run {run_id!r}; `make ui` shows the runs") from None
    found = client.get_experiment_by_name(experiment_name)
    runs = found and client.search_runs(
        [found.experiment_id],
        "tags.kind = 'study' and attributes.status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not runs:
        raise UserError(
            f"no finished search of {experiment_name!r} yet; "
            f"type `make search EXPERIMENT={experiment_name}`"
        )
    return runs[0]


def _download(client: MlflowClient, run: Run, folder: Path) -> Path:
    try:
        return Path(client.download_artifacts(run.info.run_id, MODEL_FILE, str(folder)))
    except (MlflowException, OSError):
        raise UserError(
            f"run {run.info.run_id} has no {MODEL_FILE}; only a study's run has one"
        ) from None


def _record_reading(client: MlflowClient, run: Run, accuracy: float, loss: float) -> None:
    """Every opening of the test set is on the run for all to see."""
    readings = int(run.data.tags.get("test.readings", 0)) + 1
    client.set_tag(run.info.run_id, "test.readings", str(readings))
    now = int(time.time() * 1000)
    client.log_metric(run.info.run_id, "test_accuracy", accuracy, now, readings)
    client.log_metric(run.info.run_id, "test_loss", loss, now, readings)
