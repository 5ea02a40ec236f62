"""The search: open the study, place its trials on workers, confirm the best, publish the winner.

This process trains nothing. It asks Optuna for trials, hands them to worker processes, follows
their journals, and stops what takes too long. To stop a trial is to kill its process and put the
trial back into Optuna's queue: a kill by anybody else, at any time, is no different.
"""

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
from mnist_cnn.mlruns import MLRUNS
from mnist_cnn.progress import Progress
from mnist_cnn.report import study_run
from mnist_cnn.study import confirmation, lock, screening
from mnist_cnn.study.opening import open_study
from mnist_cnn.study.recovery import reconcile, reconcile_others
from mnist_cnn.study.storage import default_storage
from mnist_cnn.study.study import Study
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import CallLost, Workers

TICK_SECONDS = 0.2
# For the last delivery to MLflow, at the end and after Ctrl-C; what it does not get stays on disk.
CLOSING_SECONDS, HURRIED_SECONDS = 30.0, 5.0
FOREVER = float("inf")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; None leaves it to the study, the experiment or the machine.

    started: when, on `time.monotonic`'s clock; what a timeout counts from.
    """

    experiment: str
    trials: int | None = None
    timeout_seconds: float | None = None
    study: str | None = None
    storage: str | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A run to place on a worker, and what to do when it does not end by itself.

    lost: called with the reason, and whether it is final, when the run's process was lost.
    pause: called when the search itself stops the run.
    ended: called when its process is done with it.
    """

    call: Callable[[], None]
    folder: Path
    epochs: int
    limit_seconds: float | None
    lost: Callable[[str, bool], None]
    pause: Callable[[], None]
    ended: Callable[[], object]


def search(request: Request, workers: Workers, console: Console) -> None:
    """Run a search to its end on idle workers.

    Raises UsageError and UserError, and KeyboardInterrupt when everything is saved after Ctrl-C.
    """
    with _clear_errors():
        # Refuses an experiment in which no trial can succeed, before anything is written.
        try:
            plan = workers.call(partial(tasks.plan, request.experiment), request.timeout_seconds)
        except CallLost as error:
            raise UserError(f"experiment {request.experiment!r} was not checked: {error}") from None
        for line in _unused_gpus(workers, request.timeout_seconds):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        study, lines = open_study(plan, request.storage or default_storage(), request.study)
        try:
            lock.claim(study)
            for line in (*lines, *reconcile(study), *reconcile_others(study)):
                console.print(line, highlight=False)
            study.enqueue_baselines()
            Search(study, request, workers, console).run()
        finally:
            with suppress(StorageInternalError):
                lock.release(study)


def _unused_gpus(workers: Workers, limit_seconds: float | None) -> list[str]:
    """A line if the machine has GPUs and Keras's backend not the libraries to use them."""
    there = machine.gpus()
    try:
        if not there or workers.call(tasks.computes_on_gpu, limit_seconds):
            return []
    except CallLost as error:
        raise UserError(f"Keras did not say whether it can use a GPU: {error}") from None
    return [
        f"Keras can use none of the {there} GPU(s) here, so the CPU trains; type "
        "`.venv/bin/uv pip install -e '.[gpu]'` for the libraries that it takes, or "
        f"WORKERS={machine.default_cpu_workers()} for all of the CPU"
    ]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """A disk that is full and a storage that failed are told in one line."""
    try:
        yield
    except StorageInternalError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"Optuna's storage failed: {reason}; what is finished is safe, mend it (is the disk "
            "full?) and type the same command again"
        ) from error
    except OSError as error:
        raise full_disk(error) or error from None


class Search:
    """One search of one study."""

    def __init__(self, study: Study, request: Request, workers: Workers, console: Console) -> None:
        self.study, self.workers, self.console = study, workers, console
        self.worker_count = workers.idle
        attributes = study.optuna_study.user_attrs
        self.trials = study.wanted_trials(request.trials)
        self.done = len(study.finished())
        if attributes.get("finished") and self.trials <= self.done:
            raise UsageError(
                f"{study.name} is finished and has {self.done} trials; extend it with "
                f"TRIALS= more than that"
            )
        timeout = request.timeout_seconds or study.plan.timeout_seconds or FOREVER
        # An unfinished study has what is left of its time; with a TIMEOUT of its own, all of that.
        anew = request.timeout_seconds is not None or attributes.get("finished")
        self.spent = 0.0 if anew else attributes.get("seconds", 0.0)
        self.started = request.started
        self.end = self.started + max(0.0, timeout - self.spent)
        # The model is exported in a new process, and that and the pictures take about as long as it
        # took to come here.
        self.deadline = self.end - min(time.monotonic() - self.started, timeout / 4)
        self.trials_deadline = self.deadline
        self.claimed = time.time()
        study.optuna_study.set_user_attr("trials", self.trials)
        study.optuna_study.set_user_attr("planned", study.plan.trials)
        study.optuna_study.set_user_attr("finished", False)
        study.optuna_study.set_user_attr("seconds", self.spent)
        self.deliverer = Deliverer(study.plan.name, study.folder, MLRUNS)
        self.progress = Progress(console, study.objective, self.trials, self.end)
        self.progress.done = self.done
        if ranking := study.ranking():
            self.progress.best = (ranking[0].values[0], f"trial {ranking[0].number:03d}")

    def run(self) -> None:
        """Trials, confirmations, report; the study's run ends with each of them."""
        study = self.study
        journal = study_run.begin(study)
        self.deliverer.start()
        closing_seconds = HURRIED_SECONDS
        try:
            with self.progress:
                self.run_on_workers(self._next_trial, lambda: self.trials_deadline)
                self.run_on_workers(self._next_confirmation, lambda: self.deadline)
            lock.renew(study)  # the report takes a while
            winner = study_run.publish(study, journal, self.workers)
            # The run ends first: a kill in between then only publishes again.
            journal.write(
                "end", status="FINISHED" if winner else "FAILED", tags={}, step=0, metrics={}
            )
            lock.renew(study)
            # Where time was too short for one trial, the same command goes on with those begun, and
            # has all its time again.
            study.optuna_study.set_user_attr("finished", bool(winner or self.done >= self.trials))
            study.optuna_study.set_user_attr("seconds", 0.0)
            left = self.end - time.monotonic()
            closing_seconds = max(HURRIED_SECONDS, min(CLOSING_SECONDS, left))
        except BaseException:
            with suppress(OSError, StorageInternalError):  # the next search mends what is left
                journal.write("pause", tags={})
                if lock.held(study):
                    for trial in study.trials(TrialState.RUNNING):
                        study.pause(trial.number)
                    self._note_seconds()
            raise
        finally:
            self.deliverer.close(closing_seconds)
            self._tell_news()
        if winner is None:
            raise UserError(study_run.nothing_completed(study))
        for line in study_run.summary(study, self.deliverer):
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _note_seconds(self) -> None:
        seconds = self.spent + time.monotonic() - self.started
        self.study.optuna_study.set_user_attr("seconds", seconds)

    def _renew(self) -> None:
        # By the clock that goes on while the machine sleeps: the study may be another's by now.
        if time.time() - self.claimed > lock.RENEWED_SECONDS:
            lock.renew(self.study)
            self.claimed = time.time()

    def _tell_news(self) -> None:
        while not self.deliverer.news.empty():
            self.progress.say(self.deliverer.news.get())

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
                    self.workers.submit(work.folder, work.call, work.limit_seconds)
                if not running:
                    return
                all_ended = self.workers.wait(TICK_SECONDS)
                self._renew()
                for ended in all_ended:
                    work = running.pop(ended.key)
                    if ended.refused:
                        work.pause()
                        raise UserError(ended.problem)
                    if ended.problem:
                        work.lost(ended.problem, ended.overdue)
                    work.ended()
                    self._count(work)
                self._tell_news()
                self.progress.update()
        finally:
            self.workers.stop(list(running))
            for work in running.values():
                with suppress(OSError, StorageInternalError):  # the next search mends it
                    if lock.held(self.study):
                        work.pause()
                    else:  # the trial is another's by now; the run that began here is not
                        confirmation.pause(work.folder)
            for work in running.values():
                self.progress.drop(work.folder)

    def _count(self, work: Work) -> None:
        self.progress.drop(work.folder)
        self.done = self.progress.done = len(self.study.finished())
        self._note_seconds()
        if self.deadline < FOREVER:
            # The confirmation has the time that it takes, but never more than two thirds.
            share = confirmation.expected_seconds(self.study, self.worker_count)
            most = (self.deadline - self.started) * 2 / 3
            self.trials_deadline = self.deadline - min(share, most)

    def _next_trial(self) -> Work | None:
        study = self.study
        if self.done + len(self.workers.running) >= self.trials:
            return None
        if study.plan.screen:
            screening.enqueue_next(study.optuna_study, study.plan.screen)
        number = study.optuna_study.ask().number
        trial = study.trial(number)
        folder = study.trial_folder(number)
        return Work(
            call=partial(
                tasks.trial, study.plan.name, study.name, study.storage, trial._trial_id, folder
            ),
            folder=folder,
            epochs=study.plan.epochs,
            limit_seconds=study.plan.trial_timeout_seconds,
            lost=partial(study.lost, number),
            pause=partial(study.pause, number),
            ended=partial(
                study.remove_obsolete_files, [number, screening.checkpoint_source(trial)]
            ),
        )

    def _next_confirmation(self) -> Work | None:
        study, under_way = self.study, self.workers.running
        for item in confirmation.outstanding(study):
            folder = item.folder(study)
            left = self.deadline - time.monotonic()
            # The first ones are always tried; the others only if they will be done in time.
            if folder not in under_way and (
                item.index == 0 or confirmation.seconds_of(study, item) < left
            ):
                number = item.trial.number
                return Work(
                    call=partial(
                        tasks.confirmation,
                        study.plan.name,
                        study.name,
                        study.storage,
                        number,
                        item.index,
                        folder,
                    ),
                    folder=folder,
                    epochs=study.plan.confirm.epochs or study.plan.epochs,
                    limit_seconds=confirmation.limit_seconds(study),
                    lost=partial(confirmation.lost, folder),
                    pause=partial(confirmation.pause, folder),
                    ended=partial(confirmation.clean, folder),
                )
        return None
