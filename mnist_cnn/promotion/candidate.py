"""The model to promote, and its test: the test set is opened, and the run gets the scores."""

import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.evaluation.lockbox import Opening
from mnist_cnn.evaluation.scores import Evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.loading import find_experiment
from mnist_cnn.registry import models
from mnist_cnn.registry.models import FoundModel
from mnist_cnn.tracking import tags


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The model to promote, and the result of its test.

    Attributes:
        run: The run that the user named.
        training: The run that trained the model: `run`, or one nested in it if it is a study's.
        model: The model's file.
        data: The name of the experiment on whose test images it was tested.
        info: What is recorded about these images.
        evaluation: The result.
        opening: How the opening of the test set was recorded.
    """

    run: Run
    training: Run
    model: FoundModel
    data: str
    info: DataInfo
    evaluation: Evaluation
    opening: Opening


def newest_study(client: MlflowClient, experiment: ExperimentId) -> Run:
    """Return the run of an experiment's newest finished study.

    Raises:
        UserError: There is none.
    """
    found = client.get_experiment_by_name(experiment.name)
    runs = []
    if found:
        runs = client.search_runs(
            [found.experiment_id],
            f"tags.{tags.KIND} = 'study' and attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    if not runs:
        raise UserError(
            f"no finished search of {experiment.name!r} yet; "
            f"type `make search {experiment.for_make}`"
        )
    return runs[0]


def run_test(
    client: MlflowClient, worker: ModelWorker, run: Run, model: FoundModel, folder: Path
) -> Candidate:
    """Test a model on the test images of its experiment.

    The run gets the scores and the pictures.

    Args:
        client: Of the tracking store.
        worker: Loads and runs the model.
        run: The run that has the model.
        model: The model.
        folder: A folder for temporary files.

    Raises:
        UsageError: The experiment no longer exists.
        UserError: The model cannot be loaded, does not fit the images, or was trained on a data set
            that has changed since.
    """
    data = str(client.get_experiment(run.info.experiment_id).name)
    find_experiment(data)
    info, weights = worker.examine(model.file, data)
    training = models.training_run(client, run, weights)
    _check_data_unchanged(training, info)
    opening = lockbox.record(client, model, weights, info, "promote")
    pictures = folder / "test"
    evaluation = worker.evaluate(model.file, data, pictures)
    models.download_curves(client, training, pictures)
    _log_test(client, run.info.run_id, evaluation, pictures, opening.count)
    return Candidate(
        run=run,
        training=training,
        model=model,
        data=data,
        info=info,
        evaluation=evaluation,
        opening=opening,
    )


def _check_data_unchanged(training: Run, info: DataInfo) -> None:
    # MLflow keeps the beginning of a digest only.
    trained_on = {entry.dataset.digest for entry in training.inputs.dataset_inputs}
    if trained_on and not any(info.digest.startswith(digest) for digest in trained_on):
        raise UserError(
            f"the experiment's data set has changed since run {training.info.run_id} was trained: "
            f"SHA-256 {trained_on.pop()}… then, {info.digest[:36]}… now; search again"
        )


def _log_test(
    client: MlflowClient, run_id: str, evaluation: Evaluation, pictures: Path, step: int
) -> None:
    now, scores = int(time.time() * 1000), evaluation.scores
    metrics = {
        "test_accuracy": scores.accuracy,
        "test_accuracy_low": scores.accuracy_low,
        "test_accuracy_high": scores.accuracy_high,
        "test_loss": scores.loss,
        "test_calibration_error": scores.calibration_error,
    }
    logged = [Metric(name, value, now, step) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=logged)
    client.log_dict(run_id, evaluation.as_json(), "test/evaluation.json")
    client.log_artifacts(run_id, str(pictures), "test")
