"""The models that a new one has to compare with: the champion, and the best champion so far."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from mnist_cnn.datasets.naming import some
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.promotion.candidate import Candidate
from mnist_cnn.promotion.gate import Comparison, compare, passes
from mnist_cnn.registry import models, store
from mnist_cnn.registry.models import FoundModel

OVERRIDE = 'The champion stays; `--force --reason "…"` overrides'


@dataclass(frozen=True)
class Rivals:
    """The versions of one registered model, on the test images of its data set.

    Attributes:
        client: Of the tracking store and the registry.
        worker: Loads and runs the models.
        info: What is recorded about the images.
        data: The name of the experiment whose test images they are.
        folder: Where to put downloads.
    """

    client: MlflowClient
    worker: ModelWorker
    info: DataInfo
    data: str
    folder: Path

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return self.info.model_name

    def check(self, champion: ModelVersion) -> None:
        """Check that a new model can be compared with the champion, before the test.

        Raises:
            UserError: It cannot.
        """
        try:
            self._examined(champion)
        except UserError as error:
            raise UserError(f"{_problem(champion, error)}. {OVERRIDE}") from None

    def compare(self, candidate: Candidate, champion: str | None) -> tuple[bool, str]:
        """Compare a tested model with the champion, and if it is worse with the best one so far.

        Args:
            candidate: The model and its test.
            champion: The number of the champion's version; None if there is none.

        Returns:
            Whether the model passes the gate, and the comparisons in words.
        """
        if champion is None:
            return True, "there was no champion to compare with"
        version = self.client.get_model_version(self.name, champion)
        try:
            found = self._compare_with(candidate, version, "champion")
        except UserError as error:
            return False, _problem(version, error)
        if found.as_good or not found.may_be_chance:
            return found.as_good, found.summary
        passed, best = self._compare_with_best(candidate, found, champion)
        return passed, "; ".join([found.summary, *best])

    def _compare_with_best(
        self, candidate: Candidate, champion: Comparison, number: str
    ) -> tuple[bool, list[str]]:
        """Compare with the best champion so far: the version with the most correct predictions.

        Versions whose files are gone are skipped.

        Args:
            candidate: The model and its test.
            champion: The comparison with the present champion.
            number: The number of the present champion.

        Returns:
            Whether the candidate passes the gate, and in words what was compared and skipped.
        """
        images = candidate.evaluation.images_sha256
        passed = passes(champion, champion)
        said: list[str] = []
        skipped: list[str] = []
        for version in store.versions_tested_on(self.client, self.name, images):
            if str(version.version) == number:
                break
            try:
                best = self._compare_with(candidate, version, "best champion so far")
            except models.FilesGone:
                skipped.append(str(version.version))
                continue
            except UserError as error:
                passed, said = False, [_problem(version, error, "best champion so far")]
                break
            passed, said = passes(champion, best), [best.summary]
            break
        if skipped:
            said.append(f"skipped, since the files are gone: version {some(skipped, 9)}")
        return passed, said

    def _compare_with(self, candidate: Candidate, version: ModelVersion, what: str) -> Comparison:
        """Compare with a version.

        Raises:
            FilesGone: Its files are gone.
            UserError: It does not fit the images or their classes, or the worker failed.
        """
        model, weights = self._examined(version)
        lockbox.record(self.client, model, weights, self.info, f"promote, as the {what}")
        correct = self.worker.correct(model.file, self.data, model.answers.class_names)
        rival = f"the {what} (version {version.version})"
        return compare(rival, candidate.evaluation.correct, correct)

    def _examined(self, version: ModelVersion) -> tuple[FoundModel, str]:
        """Return a version's model, which fits the images, and the digest of its weights."""
        model = models.from_version(version, self.folder)
        _, weights = self.worker.examine(model.file, self.data, model.answers.class_names)
        return model, weights


def _problem(version: ModelVersion, error: UserError, what: str = "champion") -> str:
    return f"the {what}, version {version.version}, cannot be compared: {error}"
