"""The trials of an Optuna study, each with a folder: how a trial is interrupted and ended.

Only the search process asks and tells, and only while it holds the study's lock. A worker samples,
reports and writes the journal. The end of a trial is written to its journal first and told to
Optuna second, so after a kill in between, Optuna is told again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.file_lock import file_lock
from mnist_cnn.mlruns import RUN_LOCK_FILE
from mnist_cnn.optuna_internals import requeue_trial, trial_id, trial_of
from mnist_cnn.study.chains import LOST, REPEATS, before, is_lost
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.screening import COST, STOPPED
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal, read, values_of

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
VALUES = "values"  # the attribute of a complete trial: its values as the search space saw them
# The attribute of an ended trial: the number of its epochs, and their seconds in all. Optuna's
# duration is too long if the search was interrupted before it told Optuna, and too short if the
# trial was interrupted.
TRAINED = "trained"
DEATHS_ALLOWED = 1  # a trial that kills a second worker is failed
PROBLEM = "problem"  # the attribute of a lost trial: what happened to its worker
LOSSES_ALLOWED = 4  # nodes are lost for many reasons; after a fifth loss the trial is a likely one


@dataclass(frozen=True)
class Trials:
    """The trials of one Optuna study.

    Attributes:
        url: The URL of Optuna's storage.
        optuna_study: The study. Its sampler is trivial, so asking is cheap: the worker that runs
            the trial samples its parameters.
        folder_of: Returns the folder of a trial's run.
    """

    url: str
    optuna_study: optuna.Study
    folder_of: Callable[[optuna.Trial | FrozenTrial], Path]

    @property
    def name(self) -> str:
        return self.optuna_study.study_name

    @property
    def storage(self) -> RDBStorage:
        return open_storage(self.url)

    def all(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all, by number. Do not modify them."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def get(self, number: int) -> FrozenTrial:
        """Return the current state of one trial. Do not modify it."""
        return trial_of(self.optuna_study, number)

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that are complete, pruned or failed."""
        return self.all(*ENDED)

    def without_repeats(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, except those that failed since they repeat another."""
        return [trial for trial in self.all(*states) if REPEATS not in trial.user_attrs]

    def folder(self, number: int) -> Path:
        """Return the folder of a trial's files."""
        return self.folder_of(self.get(number))

    def journal(self, number: int) -> Journal:
        """Return the current journal of a trial."""
        return Journal(self.folder(number))

    def set_attribute(self, number: int, name: str, value: object) -> None:
        """Write a user attribute of a trial."""
        self.storage.set_trial_user_attr(trial_id(self.storage, self.name, number), name, value)

    def tell(self, number: int) -> None:
        """Tell Optuna how a trial ended, as its journal records it, unless Optuna knows."""
        events, _ = read(self.folder(number))
        end = next(event for event in reversed(events) if event["event"] == "end")
        if self.get(number).state.is_finished():
            return
        if end["reason"]:
            self.set_attribute(number, "reason", end["reason"])
        if end.get("repeats") is not None:
            self.set_attribute(number, REPEATS, end["repeats"])
        if end.get("stop") == "rung":
            self.set_attribute(number, COST, end["metrics"].get("multiply_accumulates"))
            self.set_attribute(number, STOPPED, values_of(events))
        state = TrialState[end["tags"][tags.STATE]]
        if state == TrialState.COMPLETE:
            # A search on another machine, which has no journal of it, can then confirm it.
            self.set_attribute(number, VALUES, values_of(events))
        seconds = [e["metrics"]["epoch_seconds"] for e in events if e["event"] == "metrics"]
        if seconds:
            trained = {"epochs": len(seconds), "seconds": sum(seconds)}
            self.set_attribute(number, TRAINED, trained)
        self.optuna_study.tell(number, end["values"], state=state)

    def pause(self, number: int) -> None:
        """Put a trial without a worker back into the queue, where it waits to be resumed.

        If its journal has an end, Optuna is told instead.
        """
        journal = self.journal(number)
        if journal.ended:
            self.tell(number)
        elif self.get(number).state == TrialState.RUNNING:
            journal.pause(**{tags.STATE: "WAITING"})
            requeue_trial(self.storage, self.name, number)

    def worker_died(self, number: int, problem: str) -> None:
        """Queue a trial whose worker died during it. The second time, fail the trial.

        Args:
            number: The number of the trial.
            problem: What happened to the worker, in a few words.
        """
        if self.journal(number).ended:
            self.tell(number)
            return
        deaths = self.get(number).user_attrs.get("deaths", 0) + 1
        self.set_attribute(number, "deaths", deaths)
        if deaths > DEATHS_ALLOWED:
            self.fail(number, f"{problem}, for the second time")
        else:
            self.pause(number)

    def lost(self, number: int, problem: str) -> None:
        """Fail a trial whose worker cannot be reached, so that Optuna refuses what it still writes.

        `Study.continue_lost` then enqueues the trial that continues it.

        Args:
            number: The number of the trial.
            problem: What happened to the worker, in a few words.
        """
        if self.journal(number).ended:
            self.tell(number)
            return
        self.set_attribute(number, PROBLEM, problem)
        losses, trial = 1, self.get(number)
        losses += sum(is_lost(earlier) for earlier in before(self.all(), trial))
        if losses > LOSSES_ALLOWED:
            self.fail(number, f"lost for the {losses}th time: the trial itself may be the cause")
        else:
            self.fail(number, LOST)

    def fail(self, number: int, reason: str) -> None:
        """Fail a trial without a worker, in its journal and in Optuna."""
        journal = self.journal(number)
        if journal.begin is None:  # no worker took it, so there is no run
            self.set_attribute(number, "reason", reason)
            self.optuna_study.tell(number, state=TrialState.FAIL)
            return
        if not journal.started:
            name, own_tags = journal.begin["name"], journal.begin["tags"]
            journal.write("start", name=f"{name} · not built", tags=own_tags)
        if not journal.ended:
            write_end(journal, "FAIL", reason=reason)
        self.tell(number)

    def wait_for_worker(self, number: int, seconds: float) -> None:
        """Wait until no worker of a killed search holds the lock of a trial's run.

        Workers die with their search, but a moment after its lock is released.

        Raises:
            UserError: A worker still holds the lock after `seconds`.
        """
        folder = self.folder(number)
        if not folder.is_dir():
            return
        try:
            with file_lock(folder / RUN_LOCK_FILE, seconds):
                pass
        except BlockingIOError:
            raise UserError(
                f"a process of an earlier search is still training in {folder}; kill it and type "
                "the same command again"
            ) from None


def seconds_of_epoch(trial: FrozenTrial) -> float | None:
    """Return the mean seconds of an ended trial's epochs; None if it has none."""
    trained = trial.user_attrs.get(TRAINED)
    return trained["seconds"] / trained["epochs"] if trained else None
