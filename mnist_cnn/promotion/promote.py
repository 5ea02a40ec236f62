"""The verb `promote`: a run's model is tested once, has to pass the gate, and becomes the champion.

It writes in this order, so that the same command finishes what a kill interrupted: the run of a
derived model, the opening of the test set, the scores, the version with its card, and last the
aliases in one move.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from mnist_cnn import known_data
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.keras_file import is_model
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.project.loading import check_experiment
from mnist_cnn.promotion import card
from mnist_cnn.promotion.candidate import Candidate, examine, run_test
from mnist_cnn.promotion.chosen import (
    MADE_FROM,
    Chosen,
    choose,
    newest_study,
    refuse_other_data,
)
from mnist_cnn.promotion.front import Choice, run_of_point
from mnist_cnn.promotion.rivals import OVERRIDE, Rivals
from mnist_cnn.registry import aliases, models, store
from mnist_cnn.registry.aliases import Aliases, AliasesChangedError
from mnist_cnn.registry.answers import Answers
from mnist_cnn.registry.models import MODEL_DIGEST
from mnist_cnn.tracking.client import flush_artifacts, user

ATTEMPTS = 5  # if the champion changes while the new model is compared with it

# Tags of the tested run or of the version.
GATE = "gate"
PROMOTED_BY = "promoted.by"
FORCED_REASON = "forced.reason"
# Tags of the version: the time to predict one image, and the size of the file.
MILLISECONDS, BYTES = "milliseconds", "bytes"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for.

    Attributes:
        experiment: What identifies the experiment.
        run: The id of a study's, a trial's or a confirmation's run; None for the experiment's
            newest finished study.
        choice: Which point of the front of a study with several objectives.
        ensemble: Whether to average the models of the confirmed seeds.
        calibrate: Whether to choose a temperature on the validation images.
        reason: Why the gate is overridden; None if it is not.
    """

    experiment: ExperimentId
    run: str | None = None
    choice: Choice = field(default_factory=Choice)
    ensemble: bool = False
    calibrate: bool = False
    reason: str | None = None


def promote(request: Request, worker: ModelWorker) -> None:
    """Test the run's model, and make it the champion if it passes the gate.

    Args:
        request: What the user asked for.
        worker: Loads and runs the models.

    Raises:
        UsageError: Unknown experiment or run. Nothing is registered, and no alias is moved.
        UserError: The model is refused or cannot be tested. The same holds.
    """
    if request.run is None:
        check_experiment(request.experiment)
    with store.answering(), tempfile.TemporaryDirectory() as folder:
        client = store.connect(request.experiment)
        chosen = _chosen(client, request, Path(folder))
        examined = examine(client, worker, chosen)
        rivals = Rivals(client, worker, examined.info, examined.data, Path(folder))
        if finished := aliases.finish(client, rivals.name):
            print(f"finished a {finished} that was interrupted")
        champion = store.champion(client, rivals.name)
        # In these two cases the test set stays closed.
        if champion and chosen.is_version(champion):
            print(f"{chosen.title} is the champion already")
            return
        if champion and request.reason is None:
            rivals.check(champion)
        candidate = run_test(client, worker, examined, Path(folder))
        Promotion(client, worker, candidate, rivals, request.reason, Path(folder)).run()


def _chosen(client: MlflowClient, request: Request, folder: Path) -> Chosen:
    """Return what the user wants to promote."""
    if request.run is None:
        run = newest_study(client, request.experiment)
    else:
        run = models.get_run(client, request.run)
        refuse_other_data(client, run, request.experiment)
    if request.experiment.data is not None:
        known_data.dataset_at(request.experiment.data)  # its facts may have been removed
    run = run_of_point(client, run, request.choice, folder)
    options = {"ensemble": request.ensemble, "calibrate": request.calibrate}
    return choose(client, run, folder, **options)


@dataclass(frozen=True)
class Promotion:
    """The promotion of a tested model.

    Attributes:
        client: Of the tracking store and the registry.
        worker: Loads and runs the models.
        candidate: The model and its test.
        rivals: The models to compare it with.
        reason: Why the gate is overridden; None if it is not.
        folder: Where to put the model.
    """

    client: MlflowClient
    worker: ModelWorker
    candidate: Candidate
    rivals: Rivals
    reason: str | None
    folder: Path

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return self.candidate.info.model_name

    def run(self) -> None:
        """Apply the gate and move the aliases; again if the champion changes in between."""
        for _ in range(ATTEMPTS):
            now = aliases.current(self.client, self.name)
            if self._is_champion(now):
                # The same command was running at the same time, and was faster.
                print(f"{self.candidate.chosen.title} is the champion already")
                return
            decision = self._decide(now)
            try:
                version = self._install(now, decision)
            except AliasesChangedError:
                print("another model became the champion meanwhile; comparing with that one")
                continue
            print(decision)
            print(f"champion is now version {version} of {self.name}")
            return
        raise UserError("the champion keeps changing; type the same command again")

    def _is_champion(self, now: Aliases) -> bool:
        if now.champion is None:
            return False
        champion = self.client.get_model_version(self.name, now.champion)
        return is_model(self.candidate.model.file, champion.tags.get(MODEL_DIGEST, ""))

    def _decide(self, now: Aliases) -> str:
        """Return the gate's decision in words, and record it on the tested model's run.

        Raises:
            UserError: The model is refused, and the gate is not overridden.
        """
        passed, comparison = self.rivals.compare(self.candidate, now.champion)
        decision = f"{'passed' if passed else 'refused'}: {comparison}"
        if not passed and self.reason is not None:
            decision += f"; forced by {user()}: {self.reason}"
        self.client.set_tag(self.candidate.model.run_id, GATE, decision)
        if not passed and self.reason is None:
            raise UserError(f"{decision}. {OVERRIDE}")
        return decision

    def _install(self, now: Aliases, decision: str) -> str:
        """Register the candidate and move the aliases.

        Returns:
            The number of the new champion.

        Raises:
            AliasesChangedError: The aliases are no longer `now`. Nothing is registered.
        """
        candidate, model, info = self.candidate, self.candidate.model, self.candidate.info
        model_id = model.model_id or self._log_model()
        text = card.write(candidate, decision)
        own_tags = {
            MODEL_DIGEST: model.digest,
            MADE_FROM: candidate.chosen.digest,
            GATE: decision,
            PROMOTED_BY: user(),
            store.TEST_IMAGES: candidate.evaluation.images_sha256,
            store.TEST_CORRECT: str(candidate.evaluation.correct.sum()),
            MILLISECONDS: f"{candidate.evaluation.single_image_ms:.3f}",
            BYTES: str(model.file.stat().st_size),
            **{name: str(value) for name, value in candidate.scores.items()},
            **Answers(info.class_names, info.like_mnist).tags(),
        }
        if self.reason is not None:
            own_tags[FORCED_REASON] = self.reason

        previous = now.champion
        if previous is None:  # its version was deleted in MLflow
            previous = now.previous

        def target() -> Aliases:
            run_id = str(model.run_id)
            number = store.register(self.client, self.name, model_id, run_id, text, own_tags)
            if self.reason is None:  # an earlier promotion of the same version may have had one
                self.client.delete_model_version_tag(self.name, number, FORCED_REASON)
            return Aliases(champion=number, previous=previous)

        return str(aliases.move(self.client, self.name, now, "promotion", target).champion)

    def _log_model(self) -> str:
        """Log the model to its run, as a search does for a study's.

        Returns:
            The id of the logged model.
        """
        client, model = self.client, self.candidate.model
        run = client.get_run(model.run_id)
        file, folder = self.folder / MODEL_FILE, self.folder / "model"
        shutil.copyfile(model.file, file)
        client.log_artifact(run.info.run_id, str(file))
        flush_artifacts(run.info.artifact_uri)
        self.worker.export(file, folder)
        logged = client.create_logged_model(
            run.info.experiment_id,
            MODEL_FILE.removesuffix(".keras"),
            source_run_id=run.info.run_id,
            params=run.data.params,
            model_type="classifier",
        )
        client.log_model_artifacts(logged.model_id, str(folder))
        flush_artifacts(logged.artifact_location)
        # MLflow's page of the run shows its outputs, and their versions in the registry.
        client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.finalize_logged_model(logged.model_id, "READY")
        return str(logged.model_id)
