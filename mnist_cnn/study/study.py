"""Studies: which one a search goes on with, and what a killed search left of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment import Objective, Plan
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, checkpoints, trial_folder
from mnist_cnn.study import screening
from mnist_cnn.study.outcome import end, tell
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking.journal import Journal

MODELS_KEPT = 5
LOOKS_KEPT = 8  # of so many the checkpoints: of those going on, and those that may be next
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
    def objective(self) -> Objective:
        """What trials are ranked by, in the study's own direction: an older one is not of today."""
        maximize = self.optuna_study.directions[0] == StudyDirection.MAXIMIZE
        return replace(self.plan.objectives[0], direction="maximize" if maximize else "minimize")

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
        sign = -1 if self.objective.direction == "maximize" else 1
        return sorted(self.trials(TrialState.COMPLETE), key=lambda trial: sign * trial.values[0])

    def wanted_trials(self, asked: int | None) -> int:
        """How many trials the study is to have: the latest wish, the command's before the file's.

        What a command asked for counts for the commands after it, until the number in the
        experiment's file changes.
        """
        before = self.optuna_study.user_attrs
        edited = before.get("planned", self.plan.trials) != self.plan.trials
        return asked or (not edited and before.get("trials")) or self.plan.trials

    def enqueue_baselines(self) -> None:
        """Queue the experiment's known-good configurations, those that are not yet."""
        for baseline in self.plan.baselines[len(self.trials()) :]:
            screening.enqueue_in_full(self.optuna_study, baseline, "baseline")

    def trial_folder(self, number: int) -> Path:
        """Where the files of a trial lie."""
        return trial_folder(self.folder, number)

    def clean(self, numbers: Iterable[int]) -> list[int]:
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
            tell(self.optuna_study, number, journal)
            return
        if journal.last is not None:
            journal.write("pause", tags={"optuna.state": "WAITING"})
        self.optuna_study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def lost(self, number: int, problem: str, final: bool = False) -> None:
        """Decide on a trial whose worker is gone: once it goes on, the second time it fails."""
        trial = self.trial(number)
        if trial.state.is_finished():
            return  # the worker died after its work
        if final:
            self.fail(number, problem)
            return
        deaths = trial.user_attrs.get("deaths", 0) + 1
        self.optuna_study._storage.set_trial_user_attr(trial._trial_id, "deaths", deaths)
        if deaths > DEATHS_ALLOWED:
            self.fail(number, f"{problem}, for the second time")
        else:
            self.pause(number)

    def fail(self, number: int, reason: str) -> None:
        """End a trial from outside."""
        journal = Journal(self.trial_folder(number))
        if journal.last is None:
            tags = {"kind": "trial", "optuna.trial": str(number)}
            journal.write("start", name=f"trial {number:03d} · not built", tags=tags)
        if not journal.ended:
            end(journal, "FAIL", reason=reason)
        tell(self.optuna_study, number, journal)


def study_names(storage: str, experiment_name: str) -> list[str]:
    """The names of the experiment's studies, oldest first."""
    pattern = re.compile(re.escape(experiment_name) + r"-(\d+)")
    names = optuna.get_all_study_names(open_storage(storage))
    found = [m for name in names if (m := pattern.fullmatch(name))]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]


def open_study(plan: Plan, storage: str, wanted: str | None) -> tuple[Study, list[str]]:
    """The study to go on with, or a new one; and a line or two that say which and why.

    Without `wanted` it is the experiment's newest if that is unfinished and its fingerprint is
    unchanged. Raises UsageError for an unknown `wanted`, UserError for one of another fingerprint.
    """
    names = study_names(storage, plan.name)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(
                f"there is no study {wanted!r}; valid: {', '.join(names) or 'none yet'}"
            )
        study = load_study(plan, storage, wanted)
        if not _is_of(study, plan):
            raise UserError(
                f"the space, the experiment, its data or mnist-cnn changed since {wanted!r}; "
                f"`make search EXPERIMENT={plan.name}` without STUDY= opens a new study"
            )
        return study, [f"going on with {wanted}"]
    lines = []
    if names:
        study = load_study(plan, storage, names[-1])
        if not _is_of(study, plan):
            lines = [f"the space, the experiment, its data or mnist-cnn changed since {names[-1]}"]
        elif not study.optuna_study.user_attrs.get("finished"):
            return study, [f"going on with {study.name}"]
    # Folders count too: where Optuna's database was deleted, their journals are of other trials.
    taken = {*names, *(path.name for path in checkpoints().glob(f"{plan.name}-*/"))}
    numbers = [int(name) for n in taken if (name := n.removeprefix(f"{plan.name}-")).isdigit()]
    created = optuna.create_study(
        storage=open_storage(storage),
        study_name=f"{plan.name}-{max(numbers, default=0) + 1}",
        directions=[objective.direction for objective in plan.objectives],
        load_if_exists=True,  # another search may make it in this moment; one of both will have it
    )
    study = load_study(plan, storage, created.study_name)
    _is_of(study, plan)
    return study, [*lines, f"new study {study.name}"]


def load_study(plan: Plan, storage: str, name: str) -> Study:
    """The study called `name`, with a folder for its runs."""
    optuna_study = optuna.load_study(
        study_name=name, storage=open_storage(storage), sampler=optuna.samplers.RandomSampler()
    )
    folder = checkpoints() / name
    folder.mkdir(parents=True, exist_ok=True)
    return Study(plan, storage, optuna_study, folder)


def _is_of(study: Study, plan: Plan) -> bool:
    """Whether the study is of this very plan. One that has no trial yet becomes so."""
    optuna_study = study.optuna_study
    if "fingerprint" not in optuna_study.user_attrs and not study.trials():
        optuna_study.set_user_attr("metrics", [objective.metric for objective in plan.objectives])
        optuna_study.set_user_attr("fingerprint", plan.fingerprint)
    return bool(optuna_study.user_attrs.get("fingerprint") == plan.fingerprint)
