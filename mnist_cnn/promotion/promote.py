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
from mlflow.entities.model_registry import ModelVersion

from mnist_cnn.datasets.naming import some
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.keras_file import is_model
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.project.loading import check_experiment
from mnist_cnn.promotion import card
from mnist_cnn.promotion.candidate import Candidate, run_test
from mnist_cnn.promotion.chosen import MADE_FROM, choose, newest_study, refuse_other_data
from mnist_cnn.promotion.front import Choice, run_of_point
from mnist_cnn.promotion.gate import Comparison, compare, passes
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
        for name in store.names(client):
            if finished := aliases.finish(client, name):
                print(f"finished a {finished} that was interrupted")
        if request.run is None:
            run = newest_study(client, request.experiment)
        else:
            run = models.get_run(client, request.run)
            refuse_other_data(client, run, request.experiment)
        run = run_of_point(client, run, request.choice, Path(folder))
        options = {"ensemble": request.ensemble, "calibrate": request.calibrate}
        chosen = choose(client, run, Path(folder), **options)
        if any(map(chosen.is_version, store.champions(client))):
            print(f"{chosen.title} is the champion already")
            return  # the test set stays closed
        candidate = run_test(client, worker, chosen, Path(folder))
        if candidate.calibration_summary:
            print(candidate.calibration_summary)
        print(candidate.opening.summary)
        print(candidate.evaluation.scores.summary)
        print(candidate.cost_summary)
        Promotion(client, worker, candidate, request.reason, Path(folder)).run()


@dataclass(frozen=True)
class Promotion:
    """The promotion of a tested model.

    Attributes:
        client: Of the tracking store and the registry.
        worker: Loads and runs the models.
        candidate: The model and its test.
        reason: Why the gate is overridden; None if it is not.
        folder: Where to put downloads.
    """

    client: MlflowClient
    worker: ModelWorker
    candidate: Candidate
    reason: str | None
    folder: Path

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return self.candidate.info.model_name

    def run(self) -> None:
        """Apply the gate and move the aliases; again if the champion changes in between."""
        for _ in range(ATTEMPTS):
            if self._is_champion():
                # The same command was running at the same time, and was faster.
                print(f"{self.candidate.chosen.title} is the champion already")
                return
            now = aliases.current(self.client, self.name)
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

    def _is_champion(self) -> bool:
        file = self.candidate.model.file
        return any(
            is_model(file, champion.tags.get(MODEL_DIGEST, ""))
            for champion in store.champions(self.client)
        )

    def _decide(self, now: Aliases) -> str:
        """Return the gate's decision in words, and record it on the tested model's run.

        Raises:
            UserError: The model is refused, and the gate is not overridden.
        """
        passed, comparison = self._compare(now)
        decision = f"{'passed' if passed else 'refused'}: {comparison}"
        if not passed and self.reason is not None:
            decision += f"; forced by {user()}: {self.reason}"
        self.client.set_tag(self.candidate.model.run_id, GATE, decision)
        if not passed and self.reason is None:
            raise UserError(f'{decision}. The champion stays; `--force --reason "…"` overrides')
        return decision

    def _compare(self, now: Aliases) -> tuple[bool, str]:
        """Return whether the candidate passes the gate, and the comparisons in words."""
        if now.champion is None:
            return True, "there was no champion to compare with"
        version = self.client.get_model_version(self.name, now.champion)
        try:
            champion = self._compare_with(version, "champion")
        except UserError as error:
            return False, f"the champion, version {version.version}, cannot be compared: {error}"
        if champion.as_good or not champion.may_be_chance:
            return champion.as_good, champion.summary
        passed, best = self._compare_with_best(champion, now.champion)
        return passed, "; ".join([champion.summary, *best])

    def _compare_with_best(self, champion: Comparison, number: str) -> tuple[bool, list[str]]:
        """Compare with the best champion so far: the version with the most correct predictions.

        Versions whose files are gone are skipped.

        Args:
            champion: The comparison with the present champion.
            number: The number of the present champion.

        Returns:
            Whether the candidate passes the gate, and in words what was compared and skipped.
        """
        images = self.candidate.evaluation.images_sha256
        passed = passes(champion, champion)
        said: list[str] = []
        skipped: list[str] = []
        for version in store.versions_tested_on(self.client, self.name, images):
            if str(version.version) == number:
                break
            try:
                best = self._compare_with(version, "best champion so far")
            except models.FilesGone:
                skipped.append(str(version.version))
                continue
            except UserError as error:
                name = f"the best champion so far, version {version.version},"
                passed, said = False, [f"{name} cannot be compared: {error}"]
                break
            passed, said = passes(champion, best), [best.summary]
            break
        if skipped:
            said.append(f"skipped, since the files are gone: version {some(skipped, 9)}")
        return passed, said

    def _compare_with(self, version: ModelVersion, what: str) -> Comparison:
        """Compare with a version.

        Raises:
            FilesGone: Its files are gone.
            UserError: It does not fit the images or their classes, or the worker failed.
        """
        candidate = self.candidate
        model = models.from_version(version, self.folder)
        names = model.answers.class_names
        _, weights = self.worker.examine(model.file, candidate.data, names)
        lockbox.record(self.client, model, weights, candidate.info, f"promote, as the {what}")
        correct = self.worker.correct(model.file, candidate.data, names)
        rival = f"the {what} (version {version.version})"
        return compare(rival, candidate.evaluation.correct, correct)

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
