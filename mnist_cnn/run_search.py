"""The search: open the study, place its trials on workers, confirm the best, publish the winner.

This process trains nothing. It asks Optuna for trials, hands them to worker processes, follows
their journals, tells Optuna how they ended, and stops what takes too long. To stop a trial is to
kill its process and put the trial back into Optuna's queue: a kill by anybody else, at any time, is
no different.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from rich.console import Console

from mnist_cnn.errors import UsageError, UserError, full_disk
from mnist_cnn.mlruns import CHECKPOINT_FILE, MLRUNS, MODEL_FILE
from mnist_cnn.progress import Progress
from mnist_cnn.report import study_run
from mnist_cnn.retrain import recorded, retrain
from mnist_cnn.study import confirmation, models, screening
from mnist_cnn.study.budget import budget_of
from mnist_cnn.study.lock import StudyLocked
from mnist_cnn.study.opening import Opened, open_study
from mnist_cnn.study.recovery import close_others, recover
from mnist_cnn.study.storage import default_storage, storage_failed
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import CallLost, Ended, Workers

TICK_SECONDS = 0.2
# For the last delivery to MLflow, at the end and after Ctrl-C; what it does not get stays on disk.
CLOSING_SECONDS, HURRIED_SECONDS = 30.0, 5.0
# Workers that die before their trial begins, one after another: something else is broken.
FALSE_STARTS = 2


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for. None leaves it to the study, the experiment or the machine.

    Attributes:
        experiment: The experiment's name.
        trials: How many trials the study is to have in all.
        timeout_seconds: Bound on the time, which counts from `started`.
        study: A study's name.
        storage: The URL of Optuna's storage.
        started: When the command began, on `time.monotonic`'s clock.
    """

    experiment: str
    trials: int | None = None
    timeout_seconds: float | None = None
    study: str | None = None
    storage: str | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A trial on a worker.

    Attributes:
        trials: The study that it is of.
        number: Its number there.
        call: What the worker does.
        folder: Takes the run's files.
        epochs: How long the training is.
        limit_seconds: After which the worker is killed.
        begins: How often a worker took the trial before.
    """

    trials: Trials
    number: int
    call: Callable[[], bool]
    folder: Path
    epochs: int
    limit_seconds: float | None
    begins: int


def search(request: Request, workers: Workers, console: Console) -> None:
    """Run a search to its end on idle workers.

    Raises:
        UsageError: The command asks for what is not there.
        UserError: The search failed or was refused.
        KeyboardInterrupt: After Ctrl-C, once everything is saved.
    """
    with _clear_errors():
        # Refuses an experiment in which no trial can succeed, before anything is written.
        try:
            plan = workers.call(partial(tasks.plan, request.experiment), request.timeout_seconds)
        except CallLost as error:
            raise UserError(f"experiment {request.experiment!r} was not checked: {error}") from None
        for line in _unused_gpus(workers, request.timeout_seconds):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        with open_study(plan, request.storage or default_storage(), request.study) as opened:
            lines = (*opened.lines, *recover(opened.study), *close_others(opened.study))
            for line in lines:
                console.print(line, highlight=False)
            if plan.unserved:
                line = f"search only: promote and serve will refuse its models: {plan.unserved}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            opened.study.enqueue_baselines()
            Search(opened, request, workers, console).run()


def _unused_gpus(workers: Workers, limit_seconds: float | None) -> list[str]:
    """Return a line if the machine has GPUs and Keras's backend not the libraries to use them."""
    there = machine.gpus()
    try:
        if not there or workers.call(tasks.computes_on_gpu, limit_seconds):
            return []
    except CallLost as error:
        raise UserError(f"Keras did not say whether it can use a GPU: {error}") from None
    return [
        f"Keras can use none of the {there} GPU(s) here, so the CPU trains; type "
        "`.venv/bin/uv pip install --no-deps -r requirements-gpu.lock` for the libraries that it "
        f"takes, or WORKERS={machine.default_cpu_workers()} for all of the CPU"
    ]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Tell a full disk and a storage that failed in one line."""
    try:
        yield
    except StorageInternalError as error:
        raise storage_failed(error) from error
    except OSError as error:
        if full := full_disk(error):
            raise full from error
        raise


class Search:
    """One search of one study, which it holds."""

    def __init__(self, opened: Opened, request: Request, workers: Workers, console: Console):
        study = opened.study
        self.study, self.lock, self.workers, self.console = study, opened.lock, workers, console
        self.worker_count = workers.idle
        self.trials = study.wanted_trials(request.trials)
        self.done = len(study.trials.finished())
        if study.attributes.get("finished") and self.trials <= self.done:
            raise UsageError(
                f"{study.name} is finished and has {self.done} trials; extend it with "
                f"TRIALS= more than that"
            )
        self.budget = budget_of(study, request.timeout_seconds, request.started)
        self.trials_deadline = self._trials_deadline()
        self.false_starts = 0
        self.exhausted = False
        self.deliverer = Deliverer(study.plan.name, study.folder, MLRUNS)
        self.progress = Progress(console, study.objective, self.trials, self.budget.end)
        self.progress.done = self.done
        if ranking := study.ranking():
            self.progress.best = (ranking[0].values[0], f"trial {ranking[0].number:03d}")

    def run(self) -> None:
        """Run trials, confirmations, report. The study's run ends with each of them."""
        study = self.study
        study.set_attributes(
            trials=self.trials,
            planned=study.plan.trials,
            finished=False,
            seconds=self.budget.spent,
        )
        journal = study_run.begin(study)
        self.deliverer.start()
        closing_seconds = HURRIED_SECONDS
        try:
            with self.progress:
                self._restore_models()
                self.run_on_workers(self._next_trial, lambda: self.trials_deadline)
                self.run_on_workers(self._next_confirmation, lambda: self.budget.deadline)
            winner = study_run.publish(study, journal, self.workers)
            # The run ends first: a kill in between then only publishes again.
            status = "FINISHED" if winner else "FAILED"
            journal.write("end", status=status, tags={}, step=0, metrics={})
            self._wait_for_lock()
            # Where time was too short for one trial, the same command goes on with those begun, and
            # has all its time again.
            finished = winner is not None or self.done >= self.trials
            study.set_attributes(finished=finished, seconds=0.0)
            left = self.budget.end - time.monotonic()
            closing_seconds = max(HURRIED_SECONDS, min(CLOSING_SECONDS, left))
        except BaseException:
            with suppress(OSError, StorageInternalError, UserError):  # the next search mends it
                self._save(journal)
            raise
        finally:
            self.deliverer.close(closing_seconds)
            self._tell_news()
        if winner is None:
            raise UserError(study_run.nothing_completed(study))
        for line in study_run.summary(study, self.deliverer):
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _restore_models(self) -> None:
        """Train again what lost its model to a power cut; what comes out otherwise is dropped."""
        for folder in models.damaged(self.study):
            run = recorded(folder)
            assert run is not None
            self.progress.say(f"{folder.name}: its model is damaged, so it is trained again")
            with tempfile.TemporaryDirectory() as place:
                try:
                    retrain(self.study.plan.name, run, None, Path(place))
                except UserError as error:  # another time it may succeed
                    self.progress.say(f"{folder.name}: {error}; its model stays damaged")
                    continue
                if not models.restore(folder, Path(place) / "run" / MODEL_FILE):
                    models.drop(folder, "the training came out differently")
                    self.progress.say(
                        f"{folder.name}: the training came out differently; it is no candidate "
                        "any more"
                    )

    def _save(self, journal: Journal) -> None:
        """Note that the study was interrupted, if it is still this search's."""
        if self.lock.held():
            for trials in (self.study.trials, self.study.confirmations):
                for trial in trials.all(TrialState.RUNNING):
                    trials.pause(trial.number)
            self.study.set_attributes(seconds=self.budget.seconds())
            journal.pause()

    def _tell_news(self) -> None:
        while not self.deliverer.news.empty():
            self.progress.say(self.deliverer.news.get())

    def _wait_for_lock(self) -> None:
        """Return when the study may be written: PostgreSQL may be away for a while.

        Raises:
            StudyLocked: Another search has the study.
        """
        if self.lock.held():
            return
        self.progress.say("PostgreSQL does not answer; nothing is written until it does")
        while not self.lock.held():
            time.sleep(TICK_SECONDS)
            self.progress.update()
        self.progress.say("PostgreSQL answers again")

    def run_on_workers(
        self, take: Callable[[], Work | None], deadline: Callable[[], float]
    ) -> None:
        """Keep every worker busy with what `take` gives until it gives None, or to the deadline."""
        running: dict[Path, Work] = {}
        try:
            while time.monotonic() < deadline():
                while self.workers.idle and (work := take()):
                    running[work.folder] = work
                    self.progress.follow(work.folder, work.epochs)
                    self.deliverer.follow(work.folder)
                    self.workers.submit(work.folder, work.call, work.limit_seconds)
                if not running:
                    return
                all_ended = self.workers.wait(TICK_SECONDS)
                self._wait_for_lock()
                for ended in all_ended:
                    self._end(running.pop(ended.key), ended)
                self._tell_news()
                self.progress.update()
        finally:
            self.workers.stop(list(running))
            with suppress(OSError, StorageInternalError, StudyLocked):  # the next search mends it
                if self.lock.held():
                    for work in running.values():
                        work.trials.pause(work.number)
            for work in running.values():
                self.progress.drop(work.folder)

    def _end(self, work: Work, ended: Ended) -> None:
        """Tell Optuna how a trial ended, or decide on one whose worker was lost."""
        trials, number = work.trials, work.number
        if ended.refused:
            trials.pause(number)
            raise ended.refused(ended.problem)
        if not ended.problem:
            self.false_starts = 0
            trials.tell(number)
            if ended.value and trials is self.study.trials and not self.exhausted:
                self.exhausted = True
                self.progress.say(
                    "the sampler has nothing left to try, so there are no more trials"
                )
        elif trials.journal(number).begins == work.begins:
            self._false_start(work, ended.problem)
        elif ended.overdue:
            trials.fail(number, ended.problem)
        else:
            self.false_starts = 0
            trials.lost(number, ended.problem)
        self._count(work)

    def _false_start(self, work: Work, problem: str) -> None:
        """Put back a trial that did not begin: its worker, not the trial, is to blame."""
        work.trials.pause(work.number)
        self.false_starts += 1
        if self.false_starts >= FALSE_STARTS:
            raise UserError(
                f"{self.false_starts} workers in a row ended before their trial began: {problem}; "
                "all trials wait, mend it and type the same command again"
            )

    def _count(self, work: Work) -> None:
        self.progress.drop(work.folder)
        study = self.study
        if work.trials is study.trials:
            source = screening.checkpoint_source(study.trials.get(work.number))
            study.remove_obsolete_files([work.number, source])
        elif work.trials.journal(work.number).ended:
            (work.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        self.done = self.progress.done = len(study.trials.finished())
        study.set_attributes(seconds=self.budget.seconds())
        self.trials_deadline = self._trials_deadline()

    def _trials_deadline(self) -> float:
        """Return when the last trial must end, so that the confirmations have their time."""
        if math.isinf(self.budget.deadline):
            return self.budget.deadline
        seconds = confirmation.expected_seconds(self.study, self.worker_count)
        return self.budget.trials_deadline(seconds)

    def _next_trial(self) -> Work | None:
        study = self.study
        if self.done + len(self.workers.running) >= self.trials:
            return None
        if self.exhausted and not self.study.trials.all(TrialState.WAITING):
            return None
        if study.plan.screen:
            screening.enqueue_next(study.trials.optuna_study, study.plan.screen)
        number = study.trials.optuna_study.ask().number
        return self._work(study.trials, number, study.plan.epochs, study.plan.trial_timeout_seconds)

    def _next_confirmation(self) -> Work | None:
        study = self.study
        seconds_left = self.budget.deadline - time.monotonic()
        number = confirmation.next_confirmation(study, seconds_left)
        if number is None:
            return None
        limit = confirmation.limit_seconds(study)
        return self._work(study.confirmations, number, confirmation.epochs(study), limit)

    def _work(self, trials: Trials, number: int, epochs: int, limit_seconds: float | None) -> Work:
        folder = trials.folder(number)
        return Work(
            trials=trials,
            number=number,
            call=partial(
                tasks.trial, self.study.plan.name, trials.name, trials.url, number, folder
            ),
            folder=folder,
            epochs=epochs,
            limit_seconds=limit_seconds,
            begins=Journal(folder).begins,
        )
