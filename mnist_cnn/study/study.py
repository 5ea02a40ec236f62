"""A study: its trials by rank, its confirmations beside them, what files it keeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Maximize, Minimize, Objective
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, confirmation_folder, trial_folder
from mnist_cnn.plan import Plan
from mnist_cnn.study import screening
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.trials import Trials

MODELS_KEPT = 5
LOOKS_KEPT = 8  # keep the checkpoints of this many looks: they go on, or may be next

# Attributes of a confirmation: the number of the trial that it confirms, and which seed it is on.
OF, SEED = "of", "seed"
CONFIRMS = "confirms"  # the attribute of a study of confirmations: the study that they confirm


@dataclass(frozen=True)
class Study:
    """An Optuna study as this project searches it.

    Attributes:
        plan: What the experiment says.
        storage: The URL of Optuna's storage.
        folder: Holds a folder for each run.
        trials: The configurations that are tried.
    """

    plan: Plan
    storage: str
    folder: Path
    trials: Trials

    @property
    def name(self) -> str:
        return self.trials.name

    @property
    def attributes(self) -> dict[str, object]:
        """The attributes of the Optuna study."""
        return self.trials.optuna_study.user_attrs

    def set_attributes(self, **values: object) -> None:
        """Write attributes of the Optuna study."""
        for name, value in values.items():
            self.trials.optuna_study.set_user_attr(name, value)

    @cached_property
    def confirmations(self) -> Trials:
        """The best configurations once more, on fresh seeds; an Optuna study of its own.

        It lies beside the study of the trials, so that it is no part of what is sampled, counted
        or ranked there.
        """
        confirm = optuna.create_study(
            storage=open_storage(self.storage),
            study_name=f"{self.name}.confirm",
            direction=self.trials.optuna_study.directions[0],
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        if CONFIRMS not in confirm.user_attrs:
            confirm.set_user_attr("metrics", [self.objective.metric])
            confirm.set_user_attr("fingerprint", self.attributes.get("fingerprint"))
            confirm.set_user_attr(CONFIRMS, self.name)
        return Trials(self.storage, confirm, partial(_confirmation_folder, self.folder))

    @property
    def objective(self) -> Objective:
        """What trials are ranked by, in the study's own direction: an older one is not of today."""
        return objectives_of(self.trials.optuna_study)[0]

    def ranking(self) -> list[FrozenTrial]:
        """Return the complete trials, best first."""
        complete = self.trials.all(TrialState.COMPLETE)
        return sorted(complete, key=lambda trial: self.objective.rank_key(trial.values[0]))

    def wanted_trials(self, asked: int | None) -> int:
        """Return how many trials the study is to have: the latest wish.

        What a command asked for counts for the commands after it, until the number in the
        experiment's file changes.
        """
        if asked:
            return asked
        before = self.trials.optuna_study.user_attrs
        edited = before.get("planned", self.plan.trials) != self.plan.trials
        if edited or "trials" not in before:
            return self.plan.trials
        return int(before["trials"])

    def enqueue_baselines(self) -> None:
        """Queue the experiment's known-good configurations, those that are not yet."""
        for baseline in self.plan.baselines[len(self.trials.all()) :]:
            screening.enqueue_unscreened(self.trials.optuna_study, baseline, "baseline")

    def remove_obsolete_files(self, numbers: Iterable[int]) -> list[int]:
        """Remove what these trials need no longer, if they are finished.

        Kept are the models of the best trials and the checkpoints of the best looks that may yet
        go on. What these trials pushed out of the best goes too.

        Returns:
            The numbers of the trials of which something was removed.
        """
        kept = max(MODELS_KEPT, self.plan.confirm.trials)
        ranked = [trial.number for trial in self.ranking()]
        screen = self.plan.screen
        looks = screening.unused(self.trials.optuna_study, screen) if screen else []
        pushed_out = {*ranked[kept : kept + 1], *looks[LOOKS_KEPT : 2 * LOOKS_KEPT]}
        finished = {trial.number for trial in self.trials.finished()}
        cleaned = []
        for number in sorted(finished & {*numbers, *pushed_out}):
            folder = self.trials.folder(number)
            files = list(folder.glob("*.part*"))
            if number not in looks[:LOOKS_KEPT]:
                files.append(folder / CHECKPOINT_FILE)
            if number not in ranked[:kept]:
                files.append(folder / MODEL_FILE)
            if found := [file for file in files if file.exists()]:
                cleaned.append(number)
            for file in found:
                file.unlink(missing_ok=True)
        return cleaned


def make_study(plan: Plan, storage: str, optuna_study: optuna.Study, folder: Path) -> Study:
    """Return the study of an Optuna study whose runs lie in `folder`."""
    return Study(plan, storage, folder, Trials(storage, optuna_study, partial(_folder, folder)))


def objectives_of(optuna_study: optuna.Study) -> tuple[Objective, ...]:
    """Return what a study was made to search for, as it says itself."""
    kinds = {StudyDirection.MAXIMIZE: Maximize, StudyDirection.MINIMIZE: Minimize}
    metrics = optuna_study.user_attrs["metrics"]
    pairs = zip(metrics, optuna_study.directions, strict=True)
    return tuple(kinds[direction](metric) for metric, direction in pairs)


def _folder(study_folder: Path, trial: FrozenTrial) -> Path:
    return trial_folder(study_folder, trial.number)


def _confirmation_folder(study_folder: Path, trial: FrozenTrial) -> Path:
    return confirmation_folder(study_folder, trial.user_attrs[OF], trial.user_attrs[SEED])
