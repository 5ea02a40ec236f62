"""The model to promote, and its test: the test set is opened, and the run gets the scores.

Whatever may go wrong is done before the opening, or after the scores are printed and logged:
another try would open the test set again.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.evaluation.lockbox import Opening
from mnist_cnn.evaluation.scores import Calibration, Evaluation
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.keras_file import model_digest
from mnist_cnn.project.loading import find_experiment
from mnist_cnn.promotion.chosen import MADE_FROM, Chosen, study_and_trial
from mnist_cnn.registry import models, store
from mnist_cnn.registry.models import FoundModel
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.client import user

SPLIT_FIELDS = ("seed", "validation_fraction")  # of an experiment


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A chosen model that fits its images.

    Attributes:
        chosen: What the user wants to promote.
        training: The run that trained the single model: the user's, or one nested in it if that is
            a study's.
        weights: The digest of the single model's weights.
        data: The name of the experiment on whose test images it will be tested.
        info: What is recorded about these images.
    """

    chosen: Chosen
    training: Run
    weights: str
    data: str
    info: DataInfo


@dataclass(frozen=True, kw_only=True)
class Candidate(Examined):
    """The model to promote, and the result of its test.

    Attributes:
        model: The model that was tested.
        calibration: How it was calibrated; None if it was not.
        single_ms: The median times in milliseconds in which the single model predicts one image,
            and a batch; None if it is no ensemble that was tested.
        evaluation: The result.
        opening: How the opening of the test set was recorded.
    """

    model: FoundModel
    calibration: Calibration | None
    single_ms: tuple[float, float] | None
    evaluation: Evaluation
    opening: Opening

    @property
    def scores(self) -> dict[str, float]:
        """The result of the test, by the names of metrics in MLflow."""
        found = self.evaluation.scores
        return {
            "test_accuracy": found.accuracy,
            "test_accuracy_low": found.accuracy_low,
            "test_accuracy_high": found.accuracy_high,
            "test_loss": found.loss,
            "test_calibration_error": found.calibration_error,
        }

    @property
    def calibration_summary(self) -> str:
        """The calibration in one line; "" if there is none."""
        return self.calibration.summary if self.calibration else ""

    @property
    def cost_summary(self) -> str:
        """What the model costs in one line, of an ensemble beside the single model."""
        measured = self.evaluation
        text = (
            f"{measured.single_image_ms:.2f} ms for one image, {measured.batch_ms:.1f} ms for "
            f"{measured.batch_images}, {_size(self.model)}"
        )
        if self.single_ms is None:
            return text
        one, batch = self.single_ms
        single = f"{one:.2f} ms, {batch:.1f} ms, {_size(self.chosen.single)}"
        return f"{len(self.chosen.members)} seeds averaged: {text}; one alone: {single}"


def _size(model: FoundModel) -> str:
    return f"{model.file.stat().st_size:,} bytes"


def examine(client: MlflowClient, worker: ModelWorker, chosen: Chosen) -> Examined:
    """Check that the chosen model can be tested and registered. The test set stays closed.

    Args:
        client: Of the tracking store.
        worker: Loads and runs the models.
        chosen: What the user wants to promote.

    Raises:
        UsageError: The experiment no longer exists.
        UserError: The model cannot be loaded, does not fit the images, or was trained on a data set
            that has changed since. Or MLflow takes no registered model of the data set's name.
    """
    data = str(client.get_experiment(chosen.run.info.experiment_id).name)
    find_experiment(data)
    info, weights = worker.examine(chosen.single.file, data)
    store.check_name(info.model_name)
    training = models.training_run(client, chosen.run, weights)
    _check_data_unchanged(training, info)
    return Examined(chosen=chosen, training=training, weights=weights, data=data, info=info)


def run_test(
    client: MlflowClient, worker: ModelWorker, examined: Examined, folder: Path
) -> Candidate:
    """Average and calibrate the chosen model, if that was asked for, test it, print the result.

    Its run gets the scores and the pictures: the one that the user named, or that of the derived
    model.

    Args:
        client: Of the tracking store.
        worker: Loads and runs the models.
        examined: What the user wants to promote.
        folder: A folder for temporary files.

    Raises:
        UserError: The model cannot be averaged, calibrated or tested.
    """
    chosen, info = examined.chosen, examined.info
    model, calibration = _derived(client, worker, chosen, examined.data, folder)
    pictures = folder / "test"
    pictures.mkdir()
    models.download_curves(client, examined.training, pictures)
    opening = lockbox.record(client, model, examined.weights, info, "promote")
    candidate = Candidate(
        **vars(examined),
        model=model,
        calibration=calibration,
        single_ms=None,
        evaluation=worker.evaluate(model.file, examined.data, pictures),
        opening=opening,
    )
    if calibration:
        print(calibration.summary)
    print(opening.summary)
    print(candidate.evaluation.scores.summary, flush=True)
    _log_test(client, candidate, pictures)
    if chosen.members:  # now, as a machine that is busy is slower for both then
        candidate = replace(candidate, single_ms=worker.latencies_ms(chosen.single.file))
    print(candidate.cost_summary)
    return candidate


def _derived(
    client: MlflowClient, worker: ModelWorker, chosen: Chosen, data: str, folder: Path
) -> tuple[FoundModel, Calibration | None]:
    """Return the chosen model, averaged and calibrated if asked for, and the calibration."""
    file, calibration = chosen.single.file, None
    if chosen.members:
        file = folder / "ensemble.keras"
        worker.average([member.file for member in chosen.members], file)
    if chosen.calibrate:
        calibrated = folder / "calibrated.keras"
        calibration = worker.calibrate(file, data, _split(client, chosen.run), calibrated)
        file = calibrated
    if not chosen.is_derived:
        return chosen.single, None
    run, digest = _derived_run(client, chosen), model_digest(file)
    found = FoundModel(
        title=chosen.title,
        file=file,
        digest=digest,
        run_id=run.info.run_id,
        model_id=models.logged_id(client, run, digest, folder),
    )
    return found, calibration


def _split(client: MlflowClient, run: Run) -> dict[str, str]:
    """Return the fields that determined the validation images of a run, as far as is known."""
    study, _ = study_and_trial(run)
    params = client.get_run(study).data.params if study else {}
    return {name: params[name] for name in SPLIT_FIELDS if name in params}


def _derived_run(client: MlflowClient, chosen: Chosen) -> Run:
    """Return the run of a derived model, which is made if there is none.

    So the scores on each run are those of one model.
    """
    experiment = chosen.run.info.experiment_id
    found = client.search_runs([experiment], f"tags.`{MADE_FROM}` = '{chosen.digest}'")
    if found:
        return found[0]
    study, trial = study_and_trial(chosen.run)
    own_tags = {
        tags.KIND: "derived",
        tags.PARENT: study or chosen.run.info.run_id,
        tags.STUDY: chosen.run.data.tags.get(tags.STUDY, ""),
        tags.TRIAL: trial,
        tags.USER: user(),
        MADE_FROM: chosen.digest,
    }
    run_id = client.create_run(experiment, tags=own_tags, run_name=chosen.name).info.run_id
    client.update_run(run_id, "FINISHED")  # `set_terminated` would print a link
    return client.get_run(run_id)


def _check_data_unchanged(training: Run, info: DataInfo) -> None:
    # MLflow keeps the beginning of a digest only.
    trained_on = {entry.dataset.digest for entry in training.inputs.dataset_inputs}
    if trained_on and not any(info.digest.startswith(digest) for digest in trained_on):
        raise UserError(
            f"the experiment's data set has changed since run {training.info.run_id} was trained: "
            f"SHA-256 {trained_on.pop()}… then, {info.digest[:36]}… now; search again"
        )


def _log_test(client: MlflowClient, candidate: Candidate, pictures: Path) -> None:
    run_id, evaluation = candidate.model.run_id, candidate.evaluation
    # MLflow shows the metrics of the highest step. A study's run may have had another model before.
    now, step = int(time.time() * 1000), candidate.opening.total
    metrics = candidate.scores
    if calibration := candidate.calibration:
        metrics |= {
            "temperature": calibration.temperature,
            "calibration_error_before": calibration.error_before,
            "calibration_error_after": calibration.error_after,
        }
    logged = [Metric(name, value, now, step) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=logged)
    client.log_dict(run_id, evaluation.as_json(), "test/evaluation.json")
    client.log_artifacts(run_id, str(pictures), "test")
