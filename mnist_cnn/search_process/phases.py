"""The phases of a search whose study is open: exploring, confirming, the report."""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_cnn.errors import Unreachable, UsageError, UserError
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.report import study_run, terminal
from mnist_cnn.report.text import counted
from mnist_cnn.search_process.dispatch import Dispatch, Work
from mnist_cnn.search_process.progress import CONFIRMING, EXPLORING, REPORT, Progress
from mnist_cnn.search_process.repair import restore_models
from mnist_cnn.search_process.request import Request
from mnist_cnn.search_process.timetable import Timetable
from mnist_cnn.study import confirmation, scheduling, screening
from mnist_cnn.study.budget import budget_of
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.opening import Opened
from mnist_cnn.study.proxy import StorageProxy
from mnist_cnn.study.recovery import recover
from mnist_cnn.study.storage import StorageError, storage_failed
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.training import tasks
from mnist_cnn.workers.pool import Pool

# How long the last delivery to MLflow may take, at the end and after Ctrl-C.
CLOSING_SECONDS, HURRIED_SECONDS = 30.0, 5.0


class Search:
    """One search of one study, whose lock it holds.

    Raises:
        UsageError: The study is finished and has as many configurations as requested.
    """

    def __init__(
        self,
        opened: Opened,
        request: Request,
        workers: Pool,
        proxy: StorageProxy,
        console: Console,
    ) -> None:
        study = opened.study
        self.study, self.lock, self.workers, self.console = study, opened.lock, workers, console
        self.proxy = proxy
        self.wanted_trials = study.wanted_trials(request.trials)
        self.done = study.tried()
        if study.attributes.get("finished") and self.wanted_trials <= self.done:
            raise UsageError(
                f"{study.name} is finished and has {counted(self.done, 'trial')}; to extend it, "
                "type TRIALS=, or --trials, with a larger number"
            )
        self.budget = budget_of(study, request.timeout_seconds, request.started)
        self.timetable = Timetable(study, self.budget, workers, self.done)
        self.phase = EXPLORING
        # Who asks for more trials has the sampler asked again: it may find something after all.
        self.exhausted = bool(study.attributes.get("exhausted")) and not request.trials
        self.deliverer = Deliverer(study.plan.name, study.folder, MLRUNS)
        self.progress = Progress(console, study.objectives, self.wanted_trials, request.started)
        self.progress.done = self.done
        ranking = study.ranking()
        self.any_complete = bool(ranking)
        if ranking and len(study.objectives) == 1:
            self.progress.best = (ranking[0].values[0], f"trial {ranking[0].number:03d}")
        self.dispatch = Dispatch(opened, workers, self.deliverer, self.progress)

    def run(self) -> None:
        """Run the trials and the confirmations, and publish the winner.

        Raises:
            UserError: No trial is complete within the constraints, or the search failed.
        """
        study = self.study
        study.set_attributes(
            trials=self.wanted_trials,
            planned=study.plan.trials,
            finished=False,
            seconds=self.budget.spent,
        )
        journal = study_run.begin(study)
        closing_seconds, winner = HURRIED_SECONDS, None
        try:
            self.deliverer.start()
            winner = self._search_to_the_end(journal)
            left = self.budget.end - time.monotonic()
            closing_seconds = max(HURRIED_SECONDS, min(CLOSING_SECONDS, left))
        except BaseException:
            with suppress(OSError, *StorageError, UserError):  # the next search recovers
                self._save(journal)
            raise
        finally:
            # Once the study has its winner, Ctrl-C only ends the wait for MLflow.
            with suppress(KeyboardInterrupt) if winner else nullcontext():
                self.deliverer.close(closing_seconds)
            self.dispatch.say_news()
        if winner is None:
            raise UserError(terminal.nothing_completed(study))
        width = self.console.width if self.console.is_terminal else terminal.ANY_WIDTH
        for line in terminal.summary(study, self.deliverer, width):
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _search_to_the_end(self, journal: Journal) -> Candidate | None:
        """Run the phases, and start again at the first whenever the storage was unavailable.

        Returns:
            The winner, or None if no trial is complete within the constraints.
        """
        while True:
            try:
                return self._run_phases(journal)
            except StorageError as error:
                if not isinstance(storage_failed(error), Unreachable):
                    raise
            except Unreachable as error:  # the proxy could not be started
                self._pause(error)
            self._recover_once_storage_is_back()

    def _run_phases(self, journal: Journal) -> Candidate | None:
        """Run the trials and the confirmations, and publish the winner, which is returned."""
        study = self.study
        self.phase = EXPLORING
        with self.progress:
            restore_models(study, self.progress.say)
            self.progress.expect(self._phases())
            self.run_on_workers(self._next_work, lambda: self.budget.confirmations_end)
            self._begin(REPORT)
            winner = study_run.publish(study, journal, self.workers)
        # The run ends before the study: a kill in between only publishes again.
        status = "FINISHED" if winner else "FAILED"
        journal.write("end", status=status, tags={}, step=0, metrics={})
        self.dispatch.wait_for_lock()
        # If the time was too short for a single trial, the same command continues the study with
        # its full time.
        finished = winner is not None or not self._something_left()
        study.set_attributes(finished=finished, seconds=0.0)
        return winner

    def _recover_once_storage_is_back(self) -> None:
        """Wait for the storage, then recover as after a kill."""
        self.proxy.close()  # unreachable workers can write nothing more
        while True:
            try:
                self.dispatch.wait_for_lock()
                recover(self.study)
                return
            except StorageError as error:
                self._pause(storage_failed(error))

    def _pause(self, problem: UserError) -> None:
        """Say what is wrong, and wait until the next try."""
        outage = self.dispatch.outage
        if said := outage.begin(str(problem)):
            self.progress.say(said)
        time.sleep(outage.seconds)

    def _save(self, journal: Journal) -> None:
        """Record that the study was interrupted, if this search still holds its lock."""
        if self.lock.held():
            for trials in (self.study.trials, self.study.confirmations):
                for trial in trials.all(TrialState.RUNNING):
                    trials.pause(trial.number)
            self.study.set_attributes(seconds=self.budget.seconds())
            journal.pause()

    def run_on_workers(
        self, take: Callable[[], Work | None], deadline: Callable[[], float]
    ) -> None:
        """Run what `take` returns until the deadline, see `Dispatch.run`."""
        self.dispatch.run(take, deadline, self._count)

    def _count(self, work: Work, sampler_is_exhausted: bool) -> None:
        """Count a trial that has ended, and plan the remaining time again."""
        study = self.study
        if sampler_is_exhausted and work.trials is study.trials and not self.exhausted:
            self.exhausted = True
            study.set_attributes(exhausted=True)
            self.progress.say("the sampler finds nothing new to try, so there are no more trials")
        self.done = self.progress.done = study.tried()
        study.set_attributes(seconds=self.budget.seconds())
        self.any_complete = bool(study.ranking())
        self.timetable.update(self.phase)
        self.progress.expect(self._phases())

    def _begin(self, phase: str) -> None:
        self.phase = phase
        if phase != CONFIRMING or confirmation.outstanding(self.study):
            self.progress.begin(self._phases())

    def _phases(self) -> dict[str, float]:
        """Return the expected seconds of the current phase and of the later ones."""
        return self.timetable.expected(
            self.phase,
            tried=self.done,
            wanted=self.wanted_trials,
            any_complete=self.any_complete,
        )

    def _something_left(self) -> bool:
        """Return whether the study has configurations to try, or trials to continue."""
        study, screen = self.study, self.study.plan.screen
        if self.done < self._wanted() or study.trials.all(TrialState.WAITING):
            return True
        return screen is not None and any(screening.unused(study.trials.optuna_study, screen))

    def _wanted(self) -> int:
        """Return how many configurations the study should have; 0 if no new one can be made."""
        return 0 if self.exhausted else self.wanted_trials

    def _next_work(self) -> Work | None:
        """Return the next trial, or if there is none any more the next confirmation."""
        if work := self._next_trial():
            return work
        if self.phase == EXPLORING:
            if self._trials_may_follow():
                return None
            self._begin(CONFIRMING)
        return self._next_confirmation()

    def _trials_may_follow(self) -> bool:
        """Return whether confirmations wait, since what follows a running trial comes before them.

        They do not if the time is up: then they begin while the last trials still run.
        """
        trials = self.study.trials
        if all(work.trials is not trials for work in self.dispatch.running.values()):
            return False
        if not self.any_complete:
            return True
        all_begun = self._wanted() <= scheduling.begun(trials.all())
        return all_begun and time.monotonic() < self.timetable.trials_deadline

    def _last_trial_ends(self) -> float:
        return self.timetable.last_trial_ends(any_complete=self.any_complete)

    def _next_trial(self) -> Work | None:
        study, now = self.study, time.monotonic()
        if now >= self._last_trial_ends():
            return None
        trial = scheduling.next_trial(
            study,
            wanted=self._wanted(),
            seconds_left=self.timetable.trials_deadline - now,
            overtime=self.timetable.overtime,
        )
        if trial is None:
            return None
        epochs = screening.last_epoch(study.plan.screen, trial, study.plan.epochs)
        limit = study.plan.trial_timeout_seconds
        return self._work(study.trials, trial, epochs, limit, self._last_trial_ends)

    def _next_confirmation(self) -> Work | None:
        study = self.study
        seconds_left = self.budget.confirmations_end - time.monotonic()
        number = confirmation.next_confirmation(study, seconds_left)
        if number is None:
            return None
        limit = confirmation.limit_seconds(study)
        trial = study.confirmations.get(number)
        epochs = confirmation.epochs(study)
        return self._work(
            study.confirmations, trial, epochs, limit, lambda: self.budget.confirmations_end
        )

    def _work(
        self,
        trials: Trials,
        trial: optuna.Trial | FrozenTrial,
        epochs: int,
        limit_seconds: float | None,
        deadline: Callable[[], float],
    ) -> Work:
        folder, number = trials.folder_of(trial), trial.number
        return Work(
            trials=trials,
            number=number,
            call=partial(tasks.trial, self.study.plan.id, trials.name, self.proxy.serve(), number),
            folder=folder,
            inputs=self.study.inputs(trials, trial),
            epochs=epochs,
            limit_seconds=limit_seconds,
            deadline=deadline,
            times_begun=Journal(folder).times_begun,
        )
