"""Promotion: a run's model is tested once, has to pass the gate, and becomes the champion.

What is written in which order, so that the same command finishes what a kill interrupted: the
opening of the test set, the figures, the version with its card, and last the aliases in one move.
"""

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.project import check_name
from mnist_cnn.promotion import candidate, card
from mnist_cnn.promotion.candidate import Candidate
from mnist_cnn.promotion.gate import Comparison, compare, passes
from mnist_cnn.registry import aliases, models, store
from mnist_cnn.registry.aliases import Aliases, AliasesChangedError
from mnist_cnn.registry.models import MODEL, FoundModel
from mnist_cnn.registry.store import REGISTERED_NAME
from mnist_cnn.tracking.client import user

TRIES = 5  # against champions that change while the new model is compared with them


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for.

    run: a study's, a trial's or a confirmation's; None for the experiment's newest finished study.
    reason: why the gate is overridden; None leaves the decision to it.
    """

    experiment: str
    run: str | None = None
    reason: str | None = None


def promote(request: Request, worker: ModelWorker) -> None:
    """Test the run's model, compare it with the champion, and make it the champion if it passes.

    Raises UsageError and UserError; nothing is registered then, and no alias moved.
    """
    if request.run is None:
        check_name(request.experiment)
    with store.answering(), tempfile.TemporaryDirectory() as folder:
        client = store.connect(request.experiment)
        if (by := aliases.finish(client)) is not None:
            print(f"finished a {by} that was interrupted")
        if request.run is None:
            run = candidate.newest_study(client, request.experiment)
        else:
            run = models.get_run(client, request.run)
        model = models.from_run(client, run, Path(folder))
        if _is_champion(client, model):
            print(f"{model.title} is the champion already")
            return  # the test set stays closed
        found = candidate.tested(client, worker, run, model, Path(folder))
        print(found.opening)
        print(found.figures)
        Promotion(client, worker, found, request.reason, Path(folder)).run()


@dataclass(frozen=True)
class Promotion:
    """One tested candidate on its way. reason: see `Request`; folder: takes downloads."""

    client: MlflowClient
    worker: ModelWorker
    candidate: Candidate
    reason: str | None
    folder: Path

    def run(self) -> None:
        """The gate, and then the move; both again if another model became champion in between."""
        for _ in range(TRIES):
            if _is_champion(self.client, self.candidate.model):
                print(f"{self.candidate.model.title} is the champion already")
                return  # the same command at the same moment, and it was faster
            now = aliases.current(self.client)
            gate = self._gate(now)
            try:
                version = self._install(now, gate)
            except AliasesChangedError:
                print("another model became the champion meanwhile; comparing with that one")
                continue
            print(gate)
            print(f"champion is now version {version} of {REGISTERED_NAME}")
            return
        raise UserError("the champion changes all the time; type the same command again")

    def _gate(self, now: Aliases) -> str:
        """The decision in words, on the candidate's run too; raises UserError if it is refused."""
        passed, figures = self._compare(now)
        words = f"{'passed' if passed else 'refused'}: {figures}"
        if not passed and self.reason is not None:
            words += f"; forced by {user()}: {self.reason}"
        self.client.set_tag(self.candidate.run.info.run_id, "gate", words)
        if not passed and self.reason is None:
            raise UserError(f'{words}. The champion stays; `--force --reason "…"` overrides')
        return words

    def _compare(self, now: Aliases) -> tuple[bool, str]:
        """Whether the candidate passes against the champion and the best so far; the figures."""
        if now.champion is None:
            return True, "there was no champion to compare with"
        version = self.client.get_model_version(REGISTERED_NAME, now.champion)
        try:
            champion = self._against(version, "champion")
        except UserError as error:
            return False, f"the champion, version {version.version}, cannot be compared: {error}"
        if champion.as_good or not champion.may_be_chance:
            return champion.as_good, champion.words
        best = self._against_the_best(now.champion) or champion
        words = [comparison.words for comparison in dict.fromkeys((champion, best))]
        return passes(champion, best), "; ".join(words)

    def _against_the_best(self, champion: str) -> Comparison | None:
        """The comparison with the best champion so far; None if that is the present one.

        It is the one that got most of these test images right, of those whose file is still there.
        """
        for version in store.by_test(self.client, self.candidate.evaluation.images_sha256):
            if str(version.version) == champion:
                return None
            with suppress(UserError):
                return self._against(version, "best champion so far")
        return None

    def _against(self, version: ModelVersion, what: str) -> Comparison:
        """Compare with a version; raises UserError if it is gone or does not fit the images."""
        candidate = self.candidate
        model = models.from_version(self.client, version, self.folder)
        _, weights = self.worker.examine(model.file, candidate.data)
        lockbox.record(self.client, model, weights, candidate.facts, f"promote, as the {what}")
        right = self.worker.right(model.file, candidate.data)
        return compare(f"the {what} (version {version.version})", candidate.evaluation.right, right)

    def _install(self, now: Aliases, gate: str) -> str:
        """Register the candidate and move the aliases; returns the new champion's number.

        Raises AliasesChangedError if `now` is over; nothing is registered then.
        """
        run, model = self.candidate.run, self.candidate.model
        model_id = model.model_id or self._log_model()
        text = card.write(self.candidate, gate)
        tags = {
            MODEL: model.digest,
            "gate": gate,
            "promoted.by": user(),
            store.TEST_DATA: self.candidate.evaluation.images_sha256,
            store.TEST_RIGHT: str(self.candidate.evaluation.right.sum()),
        }
        if self.reason is not None:
            tags["forced.reason"] = self.reason

        def target() -> Aliases:
            number = store.register(self.client, model_id, run.info.run_id, text, tags)
            return Aliases(champion=number, previous=now.champion)

        return str(aliases.move(self.client, now, "promotion", target).champion)

    def _log_model(self) -> str:
        """Log the model of a trial's run, as the search does for a study's; its id."""
        run, client = self.candidate.run, self.client
        file, folder = self.folder / MODEL_FILE, self.folder / "model"
        shutil.copyfile(self.candidate.model.file, file)
        client.log_artifact(run.info.run_id, str(file))
        self.worker.export(file, folder)
        logged = client.create_logged_model(
            run.info.experiment_id,
            MODEL_FILE.removesuffix(".keras"),
            source_run_id=run.info.run_id,
            params=run.data.params,
            model_type="classifier",
        )
        client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        return str(logged.model_id)


def _is_champion(client: MlflowClient, model: FoundModel) -> bool:
    if aliases.current(client).champion is None:
        return False
    champion = store.version(client, "champion")
    return bool(champion.tags.get(MODEL) == model.digest)
