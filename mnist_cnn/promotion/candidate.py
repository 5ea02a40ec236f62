"""The model to promote and its test: the test set is opened, and the run gets the figures."""

import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import Facts
from mnist_cnn.evaluation.scores import Evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.project import check_name
from mnist_cnn.registry import models
from mnist_cnn.registry.models import FoundModel


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The model to promote, and what the test told.

    training: the run that trained it, which is nested in `run` if that is a study's.
    data: the name of the experiment whose test images it answered. opening: in words.
    """

    run: Run
    training: Run
    model: FoundModel
    data: str
    facts: Facts
    evaluation: Evaluation
    opening: str

    @property
    def figures(self) -> str:
        """What the test told, in one line."""
        return self.evaluation.scores.words


def newest_study(client: MlflowClient, experiment_name: str) -> Run:
    """The run of the experiment's newest finished study; raises UserError if there is none."""
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


def tested(
    client: MlflowClient, worker: ModelWorker, run: Run, model: FoundModel, folder: Path
) -> Candidate:
    """Open the test set for the model; figures and pictures go to its run."""
    data = str(client.get_experiment(run.info.experiment_id).name)
    check_name(data)  # the experiment may have been renamed or removed since
    facts, weights = worker.examine(model.file, data)
    training = models.training_run(client, run, weights)
    _check_data(training, facts)
    opening = lockbox.record(client, model, weights, facts, "promote")
    pictures = folder / "test"
    evaluation = worker.evaluate(model.file, data, pictures)
    run_id, now, scores = run.info.run_id, int(time.time() * 1000), evaluation.scores
    metrics = {
        "test_accuracy": scores.accuracy,
        "test_accuracy_low": scores.accuracy_low,
        "test_accuracy_high": scores.accuracy_high,
        "test_loss": scores.loss,
        "test_calibration_error": scores.calibration_error,
    }
    logged = [Metric(name, value, now, opening.count) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=logged)
    client.log_dict(run_id, evaluation.figures(), "test/evaluation.json")
    models.download_curves(client, training, pictures)
    client.log_artifacts(run_id, str(pictures), "test")
    return Candidate(
        run=run,
        training=training,
        model=model,
        data=data,
        facts=facts,
        evaluation=evaluation,
        opening=opening.words,
    )


def _check_data(training: Run, facts: Facts) -> None:
    """Raise UserError if the model was trained on other data than it is to be tested on."""
    trained_on = {entry.dataset.digest for entry in training.inputs.dataset_inputs}
    if trained_on and not any(facts.digest.startswith(digest) for digest in trained_on):
        raise UserError(
            f"the experiment's data are others since run {training.info.run_id} was trained: "
            f"{trained_on.pop()}… then, {facts.digest[:36]}… now; search again"
        )
