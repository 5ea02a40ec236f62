"""Keeps the workers busy: gives them trials, and tells Optuna how each trial ended.

To stop a trial, its process is killed and the trial is put back into Optuna's queue. So any other
kill, at any time, has the same effect.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.errors import Unreachable, UserError
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.search_process.progress import Progress
from mnist_cnn.study import chains
from mnist_cnn.study.lock import StudyLocked
from mnist_cnn.study.opening import Opened
from mnist_cnn.study.outage import Outage
from mnist_cnn.study.storage import StorageError
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.workers.pool import Ended, Pool

TICK_SECONDS = 0.2
# The search stops if this many workers in a row die before their trial begins: something is broken.
FALSE_STARTS = 2
WAIT_SECONDS = 30.0  # for a cluster's first worker; then a line says that none has started


@dataclass(frozen=True, kw_only=True)
class Work:
    """A trial, or a confirmation, for a worker.

    Attributes:
        trials: The trials that it belongs to: the study's own, or its confirmations.
        number: Its number among them.
        call: The function that the worker calls with the folder of the run.
        folder: The folder of the run.
        inputs: The checkpoints that it may resume from, besides its own.
        epochs: The number of epochs.
        limit_seconds: The worker is killed after this time. None means no limit.
        deadline: Returns when it is stopped, on the clock of `time.monotonic`. It waits to go on.
        times_begun: How often a worker has begun the trial before.
    """

    trials: Trials
    number: int
    call: Callable[[Path], bool]
    folder: Path
    inputs: Sequence[Path]
    epochs: int
    limit_seconds: float | None
    deadline: Callable[[], float]
    times_begun: int


class Dispatch:
    """The trials of one study that workers are running.

    Args:
        opened: The study, and its lock.
        workers: The workers.
        deliverer: Delivers the runs of the trials to MLflow.
        progress: Shows them.

    Attributes:
        outage: Whether workers can reach Optuna's storage.
        running: The trials and confirmations that workers run, by the folders of their runs.
    """

    def __init__(
        self, opened: Opened, workers: Pool, deliverer: Deliverer, progress: Progress
    ) -> None:
        self.study, self.lock, self.workers = opened.study, opened.lock, workers
        self.deliverer, self.progress, self.outage = deliverer, progress, Outage()
        self.running: dict[Path, Work] = {}
        self._false_starts = 0
        self._say_wait_at = time.monotonic() + WAIT_SECONDS

    def run(
        self,
        take: Callable[[], Work | None],
        deadline: Callable[[], float],
        on_end: Callable[[Work, bool], None],
    ) -> None:
        """Keep all workers busy until there is nothing left to do, or until the deadline.

        Args:
            take: Returns the next trial for an idle worker, or None if there is none.
            deadline: Returns when to stop, on the clock of `time.monotonic`.
            on_end: Called with each trial that has ended, and whether its sampler has nothing left
                to try.
        """
        running = self.running
        try:
            while time.monotonic() < deadline():
                idle = self.workers.idle  # none while a cluster's first actors start
                may_take = not self.outage.lasts  # it may be over a moment later
                while may_take and self.workers.idle and (work := take()):
                    running[work.folder] = work
                    self._begin(work)
                if may_take and idle and not running:
                    return
                self._stop_overdue()
                self._say_wait(started=bool(idle or running))
                all_ended = self.workers.wait(TICK_SECONDS)
                self.wait_for_lock()
                for ended in all_ended:
                    work = running.pop(ended.key)
                    self._end(work, ended)
                    on_end(work, bool(ended.value))
                self.say_news()
                self.progress.update()
        finally:
            self._stop(running)
            running.clear()

    def wait_for_lock(self) -> None:
        """Wait until the study may be written. PostgreSQL may be unreachable for a while.

        Raises:
            StudyLocked: Another search has taken the lock.
        """
        if self.lock.held():
            return
        self.progress.say("PostgreSQL does not answer; nothing is written until it does")
        while not self.lock.held():
            time.sleep(TICK_SECONDS)
            self.progress.update()
        self.progress.say("PostgreSQL answers again")

    def say_news(self) -> None:
        """Print what the workers remark, and the messages of the deliveries to MLflow."""
        for line in self.workers.take_remarks():
            self.progress.say(line)
        while not self.deliverer.news.empty():
            self.progress.say(self.deliverer.news.get())

    def _begin(self, work: Work) -> None:
        self.progress.follow(work.folder, work.epochs)
        self.deliverer.follow(work.folder)
        self.workers.submit_run(work.folder, work.call, work.limit_seconds, work.inputs)

    def _say_wait(self, started: bool) -> None:
        """Print once that no worker of a cluster has started yet."""
        if started:
            self._say_wait_at = math.inf
        elif time.monotonic() >= self._say_wait_at:
            self._say_wait_at = math.inf
            self.progress.say(
                "no worker has started yet: the cluster is busy, or installs packages; trials "
                "begin when it has room"
            )

    def _end(self, work: Work, ended: Ended) -> None:
        """Tell Optuna how a trial ended, or decide what to do if its worker was lost."""
        trials, number = work.trials, work.number
        if ended.refused is Unreachable:
            trials.pause(number)
            if said := self.outage.begin(ended.problem):
                self.progress.say(said)
        elif ended.refused:
            trials.pause(number)
            raise ended.refused(ended.problem)
        elif not ended.problem:
            self._false_starts = 0
            self.outage.end()
            trials.tell(number)
        elif ended.lost:
            for line in self.study.lose(trials, number, ended.problem):
                self.progress.say(line)
        elif trials.journal(number).times_begun == work.times_begun:
            self._false_start(work, ended.problem)
        elif ended.overdue:
            trials.fail(number, ended.problem)
        else:
            self._false_starts = 0
            trials.worker_died(number, ended.problem)
        self.progress.drop(work.folder)
        self._remove_files(work)

    def _false_start(self, work: Work, problem: str) -> None:
        """Put back a trial whose worker died before the trial began: the trial is not to blame."""
        work.trials.pause(work.number)
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS:
            raise UserError(
                f"{self._false_starts} workers in a row ended before their trial began: {problem}; "
                "no trial is lost: fix the problem and type the same command again"
            )

    def _remove_files(self, work: Work) -> None:
        """Remove files that are no longer needed, now that a worker is done with a trial."""
        study, trial = self.study, work.trials.get(work.number)
        if chains.is_lost(trial):
            return  # the trial that continues it needs its checkpoint, or the one before
        if work.trials is study.trials:
            earlier = chains.before(study.trials.all(), trial) if work.inputs else []
            study.remove_obsolete_files([work.number, *(each.number for each in earlier)])
        elif work.trials.journal(work.number).ended:
            for path in (work.folder / CHECKPOINT_FILE, *work.inputs):
                path.unlink(missing_ok=True)

    def _stop_overdue(self) -> None:
        """Stop the trials that are past their own deadline."""
        now = time.monotonic()
        overdue = {folder: work for folder, work in self.running.items() if now >= work.deadline()}
        if overdue:
            self.wait_for_lock()  # to put them back
            for folder in overdue:
                del self.running[folder]
            self._stop(overdue)

    def _stop(self, running: Mapping[Path, Work]) -> None:
        """Stop trials that are running, and put them back into the queue."""
        lost = self.workers.stop(list(running))
        with suppress(OSError, *StorageError, StudyLocked):  # the next search recovers
            if self.lock.held():
                for work in running.values():
                    if work.folder in lost:
                        self.study.lose(work.trials, work.number, "its actor did not stop")
                    else:
                        work.trials.pause(work.number)
        for folder in running:
            self.progress.drop(folder)
