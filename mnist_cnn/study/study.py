"""A study: its trials by rank, its confirmations, and the files that it keeps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.files import make_folder
from mnist_cnn.mlruns import (
    CHECKPOINT_FILE,
    DELIVERED_FILE,
    MODEL_FILE,
    confirmation_folder,
    trial_folder,
)
from mnist_cnn.objectives import Maximize, Minimize, Objective, keeps_constraints
from mnist_cnn.optuna_internals import enqueue_again
from mnist_cnn.project.plan import Plan
from mnist_cnn.study import chains, screening
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.trials import PROBLEM, Trials
from mnist_cnn.tracking import tags

MODELS_KEPT = 5
CHECKPOINTS_KEPT = 8  # of the stopped trials at a rung, which may be continued next

# Attribute of a trial whose configuration is one of the experiment's baselines.
BASELINE = "baseline"
# Attribute of a trial with one of the best configurations of an earlier study: that study's name.
EARLIER = "earlier"
# Attribute of such a trial once its model was built: it has all its parameters. Optuna stores them
# one by one.
BUILT = "built"
# Attributes of a confirmation: the number of the trial that it confirms, and the index of its seed.
OF, SEED = "of", "seed"
# Attribute of a study and of its confirmations: the precision of all runs. Machines differ.
PRECISION = "precision"
CONFIRM_SUFFIX = ".confirm"  # of the name of a study of confirmations
CONFIRMS = "confirms"  # attribute of a study of confirmations: the name of the confirmed study


@dataclass(frozen=True)
class Study:
    """An Optuna study, with its confirmations and its files.

    Attributes:
        plan: The plan of the experiment.
        storage: The URL of Optuna's storage.
        folder: The folder that holds a folder for each run.
        trials: The study's trials, without confirmations.
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
        """The user attributes of the Optuna study."""
        return self.trials.optuna_study.user_attrs

    def set_attributes(self, **values: object) -> None:
        """Write user attributes of the Optuna study."""
        for name, value in values.items():
            self.trials.optuna_study.set_user_attr(name, value)

    @cached_property
    def confirmations(self) -> Trials:
        """The trials of the study `<name>.confirm`: the best configurations on fresh seeds.

        They have their own Optuna study so that they are not sampled from, counted or ranked with
        the trials.
        """
        confirm = optuna.create_study(
            storage=open_storage(self.storage),
            study_name=self.name + CONFIRM_SUFFIX,
            direction=self.trials.optuna_study.directions[0],
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        if CONFIRMS not in confirm.user_attrs:
            confirm.set_user_attr("metrics", [self.objective.metric])
            confirm.set_user_attr("fingerprint", self.attributes.get("fingerprint"))
            if PRECISION in self.attributes:
                confirm.set_user_attr(PRECISION, self.attributes[PRECISION])
            confirm.set_user_attr(CONFIRMS, self.name)
        return Trials(self.storage, confirm, partial(folder_of_run, self.folder))

    @cached_property  # every read of Optuna's attributes is a query
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives, as stored with the study.

        An older study may have other objectives than the current experiment.
        """
        return objectives_of(self.trials.optuna_study)

    @property
    def objective(self) -> Objective:
        """The objective that trials are ranked by: the first."""
        return self.objectives[0]

    def ranking(self) -> list[FrozenTrial]:
        """Return the complete trials that satisfy all constraints, best first.

        With several objectives those on the front come first. Trials are in the order of the first
        objective.
        """
        front = {trial.number for trial in self.front()}
        kept = comparable(self.trials.all(TrialState.COMPLETE))
        return sorted(kept, key=lambda trial: (trial.number not in front, self._rank_key(trial)))

    def front(self) -> list[FrozenTrial]:
        """Return the Pareto front: the trials that no other one dominates, best first.

        They satisfy all constraints, and are in the order of the first objective. With a single
        objective there is no front.
        """
        if len(self.objectives) == 1:
            return []
        front = filter(is_finite, self.trials.optuna_study.best_trials)
        return sorted(front, key=self._rank_key)

    def _rank_key(self, trial: FrozenTrial) -> float:
        return self.objective.rank_key(trial.values[0])

    def wanted_trials(self, asked: int | None) -> int:
        """Return how many configurations the study should have.

        Args:
            asked: The number that this command asks for, or None.

        Returns:
            `asked`; else the number of the last command that asked; else the experiment's. Changing
            the experiment's number overrides earlier commands.
        """
        if asked:
            return asked
        before = self.trials.optuna_study.user_attrs
        edited = before.get("planned", self.plan.trials) != self.plan.trials
        if edited or "trials" not in before:
            return self.plan.trials
        return int(before["trials"])

    def tried(self) -> int:
        """Return the number of configurations that were tried, in full or up to a rung.

        A trial that continues another one is not another configuration.
        """
        return chains.tried(self.trials.finished())

    def lose(self, trials: Trials, number: int, problem: str) -> list[str]:
        """Fail a trial whose worker cannot be reached, then enqueue the one that continues it.

        Args:
            trials: The study's trials, or its confirmations.
            number: The number of the trial.
            problem: What happened to the worker, in a few words.

        Returns:
            A message.
        """
        journal = trials.journal(number)
        if journal.begin is None:  # the worker may have begun it, but nothing has arrived
            make_folder(journal.folder)
            title, own_tags = title_and_tags(trials.get(number))
            journal.write("begin", name=title, tags=own_tags, worker="")
        trials.lost(number, problem)
        return self.continue_lost()

    def continue_lost(self) -> list[str]:
        """Enqueue a trial that continues each lost one, unless there is one.

        Returns:
            A message for each.
        """
        lines = []
        for trials in (self.trials, self.confirmations):
            there = trials.all()
            taken = {chains.continued(trial) for trial in there}
            for trial in there:
                if chains.is_lost(trial) and trial.number not in taken:
                    own = {
                        key: trial.user_attrs[key] for key in (OF, SEED) if OF in trial.user_attrs
                    }
                    own |= chains.as_continuation(trial, chains.rung_of(trial))
                    enqueue_again(trials.optuna_study, trial, own)
                    name = trials.folder_of(trial).name
                    problem = trial.user_attrs.get(PROBLEM, "nothing more was heard of it")
                    lines.append(f"{name} was lost: {problem}; queued to continue elsewhere")
        return lines

    def inputs(self, trials: Trials, trial: optuna.Trial | FrozenTrial) -> list[Path]:
        """Return the checkpoints that a trial may resume from, besides its own."""
        if chains.continued(trial) is None:
            return []
        earlier = chains.before(trials.all(), trial)
        return [trials.folder_of(trial) / CHECKPOINT_FILE for trial in earlier]

    def enqueue_baselines(self, wanted: int) -> None:
        """Enqueue the experiment's baselines that are not in the study yet.

        Args:
            wanted: The number of configurations that the study should have.
        """
        there = sum(BASELINE in trial.user_attrs for trial in self.trials.all())
        for baseline in self.plan.baselines[there:wanted]:
            self.trials.optuna_study.enqueue_trial(dict(baseline), user_attrs={BASELINE: True})

    def remove_obsolete_files(self, numbers: Iterable[int]) -> list[int]:
        """Remove files that finished trials no longer need.

        The models of the best trials are kept, and the checkpoints of the best stopped trials,
        which may yet be continued. Trials that `numbers` have just pushed out of the best are
        cleaned up too.

        Args:
            numbers: The numbers of trials to clean up. Unfinished ones are skipped.

        Returns:
            The numbers of the trials that lost files.
        """
        front = self.front()
        kept = max(MODELS_KEPT, self.plan.confirm.trials, len(front))
        ranked = [trial.number for trial in self.ranking()]
        screen = self.plan.screen
        stopped = screening.unused(self.trials.optuna_study, screen) if screen else []
        resumable = {number for rung in stopped for number in rung[:CHECKPOINTS_KEPT]}
        ended = {trial.number: trial for trial in self.trials.finished()}
        lost = {number for number, trial in ended.items() if chains.is_lost(trial)}
        resumable |= lost - chains.superseded(list(ended.values()))
        # A trial may push many others from the front, but only one from the best of a single order.
        pushed_out = set(ranked[kept:] if front else ranked[kept : kept + 1])
        for rung in stopped:  # whose order may change at once, with what more epochs gain
            for number in rung[CHECKPOINTS_KEPT:]:
                if (self.trials.folder_of(ended[number]) / CHECKPOINT_FILE).exists():
                    pushed_out.add(number)
        cleaned = []
        for number in sorted(ended.keys() & {*numbers, *pushed_out}):
            folder = self.trials.folder_of(ended[number])
            # The thread that delivers the run may be writing its own file at this moment.
            delivered = Path(DELIVERED_FILE).stem
            files = [path for path in folder.glob("*.part*") if path.stem != f"{delivered}.part"]
            if number not in resumable:
                files.append(folder / CHECKPOINT_FILE)
            if number not in ranked[:kept]:
                files.append(folder / MODEL_FILE)
            if found := [file for file in files if file.exists()]:
                cleaned.append(number)
            for file in found:
                file.unlink(missing_ok=True)
        return cleaned


def is_finite(trial: FrozenTrial) -> bool:
    """Return whether the values of a complete trial are finite. In older studies some are not."""
    return all(math.isfinite(value) for value in trial.values)


def comparable(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the complete trials with finite values that satisfy the constraints."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return [trial for trial in complete if keeps_constraints(trial) and is_finite(trial)]


def make_study(plan: Plan, storage: str, optuna_study: optuna.Study, folder: Path) -> Study:
    """Return the `Study` for an Optuna study whose runs are in `folder`."""
    return Study(
        plan, storage, folder, Trials(storage, optuna_study, partial(folder_of_run, folder))
    )


def is_begun(optuna_study: optuna.Study) -> bool:
    """Return whether a search has opened an Optuna study; it may have been killed before that."""
    return "metrics" in optuna_study.user_attrs


def objectives_of(optuna_study: optuna.Study) -> tuple[Objective, ...]:
    """Return the objectives that are stored with an Optuna study."""
    kinds = {StudyDirection.MAXIMIZE: Maximize, StudyDirection.MINIMIZE: Minimize}
    metrics = optuna_study.user_attrs["metrics"]
    pairs = zip(metrics, optuna_study.directions, strict=True)
    return tuple(kinds[direction](metric) for metric, direction in pairs)


def title_and_tags(trial: optuna.Trial | FrozenTrial) -> tuple[str, dict[str, str]]:
    """Return how the name of a trial's or a confirmation's run begins, and the run's tags."""
    own_tags = {tags.STATE: "RUNNING"}
    if OF in trial.user_attrs:
        of, index = trial.user_attrs[OF], trial.user_attrs[SEED]
        title = f"confirmation {index + 1} of trial {of:03d}"
        own_tags |= {tags.KIND: "confirmation", tags.TRIAL: str(of)}
    else:
        title = f"trial {trial.number:03d}"
        own_tags |= {tags.KIND: "trial", tags.TRIAL: str(trial.number)}
    if (before := chains.continued(trial)) is not None:
        own_tags[tags.CONTINUES] = str(before)
    return title, own_tags


def folder_of_run(study_folder: Path, trial: optuna.Trial | FrozenTrial) -> Path:
    """Return the folder of a trial's run, or of a confirmation's, in the folder of its study."""
    if OF not in trial.user_attrs:
        return trial_folder(study_folder, trial.number)
    folder = confirmation_folder(study_folder, trial.user_attrs[OF], trial.user_attrs[SEED])
    if chains.continued(trial) is None:
        return folder
    return folder.with_name(f"{folder.name}-{trial.number}")  # what it continues has that folder
