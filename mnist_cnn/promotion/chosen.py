"""What the user wants to promote: the model of a run, or one that is derived from it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.entities.model_registry import ModelVersion

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import ExperimentId, data_name
from mnist_cnn.keras_file import is_model
from mnist_cnn.mlruns import DROPPED_FILE, own_folder
from mnist_cnn.registry import models
from mnist_cnn.registry.models import MODEL_DIGEST, FoundModel
from mnist_cnn.report import result_names
from mnist_cnn.tracking import tags

# The tag of a version, and of the run of a derived model: the `digest` of what was chosen.
MADE_FROM = "made.from.sha256"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the user wants to promote: the model of a run, or one that is derived from it.

    Attributes:
        run: The run that the user named, or that of the point of a front.
        single: Its model.
        members: The models to average; empty if it is the single one that is promoted.
        calibrate: Whether to choose a temperature.
    """

    run: Run
    single: FoundModel
    members: tuple[FoundModel, ...] = ()
    calibrate: bool = False

    @property
    def is_derived(self) -> bool:
        """Whether it is another model than that of the run."""
        return bool(self.members) or self.calibrate

    @property
    def name(self) -> str:
        """The name of the run, and what was done to its model."""
        averaged = f", {len(self.members)} seeds averaged" if self.members else ""
        return f"{self.run.info.run_name}{averaged}{', calibrated' if self.calibrate else ''}"

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{self.name} (run {self.run.info.run_id})"

    @property
    def digest(self) -> str:
        """The digest of the model, or of all that it is derived from."""
        if not self.is_derived:
            return self.single.digest
        parts = [member.digest for member in self.members] or [self.single.digest]
        return hashlib.sha256(repr((parts, self.calibrate)).encode()).hexdigest()

    def is_version(self, version: ModelVersion) -> bool:
        """Whether it is the model of a version."""
        if self.is_derived:
            return bool(version.tags.get(MADE_FROM) == self.digest)
        return is_model(self.single.file, version.tags.get(MODEL_DIGEST, ""))


def newest_study(client: MlflowClient, experiment: ExperimentId) -> Run:
    """Return the run of an experiment's newest finished study.

    Raises:
        UserError: There is none.
    """
    found = client.get_experiment_by_name(experiment.name)
    runs: list[Run] = []
    if found:
        runs = client.search_runs(
            [found.experiment_id],
            f"tags.{tags.KIND} = 'study'",
            ViewType.ALL,
            order_by=["attributes.start_time DESC"],
        )
    deleted = [run for run in runs if run.info.lifecycle_stage == LifecycleStage.DELETED]
    finished = [run for run in runs if run.info.status == "FINISHED" and run not in deleted]
    if finished:
        return finished[0]
    if deleted:
        run = deleted[0].info
        raise UserError(
            f"the run of {run.run_name} was deleted in MLflow; restore it there (run "
            f"{run.run_id}), or type `make search {experiment.for_make}`"
        )
    if any(run.info.status == "FAILED" for run in runs):
        raise UserError(
            f"no search of {experiment.name!r} has found a model to promote; `mnist-cnn trials "
            f"{experiment.for_command}` says how its trials ended"
        )
    raise UserError(
        f"no finished search of {experiment.name!r} yet; type `make search {experiment.for_make}`"
    )


def refuse_other_data(client: MlflowClient, run: Run, experiment: ExperimentId) -> None:
    """Refuse a run of other data than the user named: it would be tested on those.

    Raises:
        UsageError: It is one.
    """
    if experiment.data is None:
        return
    searched = client.get_experiment(run.info.experiment_id).name
    if not searched.endswith(f"-{data_name(experiment.data)}"):
        raise UsageError(
            f"run {run.info.run_id} is of {searched}, not of {experiment.data}; leave out the "
            "data, or name another run"
        )


def choose(
    client: MlflowClient, run: Run, folder: Path, *, ensemble: bool, calibrate: bool
) -> Chosen:
    """Return the model of a run, and what to make of it.

    Args:
        client: Of the tracking store.
        run: The run of a study, which means its winner, of a trial, or of a confirmation.
        folder: Where to put downloads.
        ensemble: Whether to average the confirmed seeds of the run's configuration.
        calibrate: Whether to choose a temperature.

    Raises:
        UserError: A model is gone or damaged, or there are fewer than two confirmed seeds. Or the
            run is that of a derived model.
    """
    if run.data.tags.get(tags.KIND) == "derived":
        raise UserError(
            f"run {run.info.run_id} ({run.info.run_name}) is of a model that was made from others; "
            "name the run that it is nested in, with --ensemble or --calibrate"
        )
    single = models.from_run(client, run, folder)
    confirmed = _confirmations(client, run) if ensemble else []
    if ensemble and len(confirmed) < 2:
        seeds = "one confirmed seed" if confirmed else "no confirmed seeds"
        raise UserError(
            f"{run.info.run_name} has {seeds}, and an ensemble takes two or more; leave out "
            "--ensemble, or search with more `trials`, `seeds` or time for Confirm in the "
            "experiment"
        )
    members = tuple(models.from_run(client, each, folder) for each in confirmed)
    return Chosen(run=run, single=single, members=members, calibrate=calibrate)


def _confirmations(client: MlflowClient, run: Run) -> list[Run]:
    """Return the complete confirmations of a run's configuration, by their seeds."""
    study, trial = study_and_trial(run)
    found = client.search_runs(
        [run.info.experiment_id],
        f"tags.{tags.KIND} = 'confirmation' and tags.`{tags.STATE}` = 'COMPLETE' and "
        f"tags.`{tags.PARENT}` = '{study}' and tags.`{tags.TRIAL}` = '{trial}'",
    )
    by_seed = sorted(found, key=lambda each: str(each.data.tags.get(tags.JOURNAL)))
    return [each for each in by_seed if not _is_dropped(each)]


def _is_dropped(run: Run) -> bool:
    folder = own_folder(run.data.tags.get(tags.JOURNAL, ""))
    return folder is not None and (folder / DROPPED_FILE).exists()


def study_and_trial(run: Run) -> tuple[str, str]:
    """Return the id of the study's run, and the number of the trial that has the configuration."""
    own = run.data.tags
    if own.get(tags.KIND) == "study":
        return run.info.run_id, own.get(result_names.TRIAL, "")
    return own.get(tags.PARENT, ""), own.get(tags.TRIAL, "")
