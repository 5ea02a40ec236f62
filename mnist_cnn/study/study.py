"""A study: its trials by rank, how one is interrupted, lost or failed, what files it keeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Maximize, Minimize, Objective
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, trial_folder
from mnist_cnn.optuna_internals import requeue_trial, trial_id
from mnist_cnn.plan import Plan
from mnist_cnn.study import screening
from mnist_cnn.study.outcome import tell_optuna, write_end
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal

MODELS_KEPT = 5
LOOKS_KEPT = 8  # keep the checkpoints of this many looks: they go on, or may be next
DEATHS_ALLOWED = 1  # a trial that takes its worker down a second time is failed


@dataclass(frozen=True)
class Study:
    """An Optuna study, the storage it lies in, and the folder of its runs' files.

    The search process samples nothing: `optuna_study` has the trivial sampler, so that asking it
    for a trial costs nothing, and the worker that takes the trial samples for it.
    """

    plan: Plan
    storage: str
    optuna_study: optuna.Study
    folder: Path

    @property
    def name(self) -> str:
        return self.optuna_study.study_name

    @property
    def store(self) -> BaseStorage:
        """The storage itself."""
        return open_storage(self.storage)

    @property
    def objective(self) -> Objective:
        """What trials are ranked by, in the study's own direction: an older one is not of today."""
        return objectives_of(self.optuna_study)[0]

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states, or all, by number."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        """One trial as it stands now; not to be changed."""
        return self.trials()[number]

    def finished(self) -> list[FrozenTrial]:
        """The trials that came to an end: complete, pruned or failed."""
        return self.trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

    def ranking(self) -> list[FrozenTrial]:
        """The complete trials, best first."""
        complete = self.trials(TrialState.COMPLETE)
        return sorted(complete, key=lambda trial: self.objective.rank_key(trial.values[0]))

    def wanted_trials(self, asked: int | None) -> int:
        """How many trials the study is to have: the latest wish, the command's before the file's.

        What a command asked for counts for the commands after it, until the number in the
        experiment's file changes.
        """
        if asked:
            return asked
        before = self.optuna_study.user_attrs
        edited = before.get("planned", self.plan.trials) != self.plan.trials
        if edited or "trials" not in before:
            return self.plan.trials
        return int(before["trials"])

    def enqueue_baselines(self) -> None:
        """Queue the experiment's known-good configurations, those that are not yet."""
        for baseline in self.plan.baselines[len(self.trials()) :]:
            screening.enqueue_unscreened(self.optuna_study, baseline, "baseline")

    def trial_folder(self, number: int) -> Path:
        """Where the files of a trial lie."""
        return trial_folder(self.folder, number)

    def remove_obsolete_files(self, numbers: Iterable[int]) -> list[int]:
        """Remove what these trials need no longer if they are finished: all models but those of
        the best, all checkpoints but those of the best looks that may yet be taken over. What they
        pushed out of the best goes too.

        Returns the numbers of the trials of which something was removed.
        """
        kept = max(MODELS_KEPT, self.plan.confirm.trials)
        ranked = [trial.number for trial in self.ranking()]
        screen = self.plan.screen
        looks = screening.unused(self.optuna_study, screen) if screen else []
        pushed_out = {*ranked[kept : kept + 1], *looks[LOOKS_KEPT : 2 * LOOKS_KEPT]}
        finished = {trial.number for trial in self.finished()}
        cleaned = []
        for number in sorted(finished & {*numbers, *pushed_out}):
            folder = self.trial_folder(number)
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

    def pause(self, number: int) -> None:
        """Put an interrupted trial back into Optuna's queue; it goes on where it was."""
        trial = self.trial(number)
        journal = Journal(self.trial_folder(number))
        if trial.state.is_finished():
            return
        if journal.ended:
            tell_optuna(self.store, self.optuna_study, number, journal)
            return
        journal.pause(**{tags.STATE: "WAITING"})
        requeue_trial(self.store, self.name, number)

    def lost(self, number: int, problem: str, final: bool = False) -> None:
        """Decide on a trial whose worker is gone: once it goes on, the second time it fails."""
        trial = self.trial(number)
        if trial.state.is_finished():
            return  # the worker died after its work
        if final:
            self.fail(number, problem)
            return
        deaths = trial.user_attrs.get("deaths", 0) + 1
        self.store.set_trial_user_attr(trial_id(self.store, self.name, number), "deaths", deaths)
        if deaths > DEATHS_ALLOWED:
            self.fail(number, f"{problem}, for the second time")
        else:
            self.pause(number)

    def fail(self, number: int, reason: str) -> None:
        """End a trial from outside."""
        journal = Journal(self.trial_folder(number))
        if journal.last is None:
            own_tags = {tags.KIND: "trial", tags.TRIAL: str(number)}
            journal.write("start", name=f"trial {number:03d} · not built", tags=own_tags)
        if not journal.ended:
            write_end(journal, "FAIL", reason=reason)
        tell_optuna(self.store, self.optuna_study, number, journal)


def objectives_of(optuna_study: optuna.Study) -> tuple[Objective, ...]:
    """Return what a study was made to search for, as it says itself."""
    kinds = {StudyDirection.MAXIMIZE: Maximize, StudyDirection.MINIMIZE: Minimize}
    metrics = optuna_study.user_attrs["metrics"]
    pairs = zip(metrics, optuna_study.directions, strict=True)
    return tuple(kinds[direction](metric) for metric, direction in pairs)
