"""A search: opens the study, runs trials on workers, confirms the best ones, publishes the winner.

This process trains nothing. It asks Optuna for trials, gives them to worker processes, follows
their journals, tells Optuna how they ended, and stops trials that take too long. To stop a trial,
it kills the process and puts the trial back into Optuna's queue. So a kill by anybody else, at any
time, makes no difference.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_cnn.errors import Away, UsageError, UserError, full_disk
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import CHECKPOINT_FILE, MLRUNS, MODEL_FILE
from mnist_cnn.progress import CONFIRMING, EXPLORING, REPORT, Progress
from mnist_cnn.report import study_run
from mnist_cnn.retrain import recorded, retrain
from mnist_cnn.study import confirmation, models, scheduling, screening
from mnist_cnn.study.budget import budget_of
from mnist_cnn.study.confirmation import Candidate
from mnist_cnn.study.lock import StudyLocked
from mnist_cnn.study.opening import Opened, open_study
from mnist_cnn.study.outage import Outage
from mnist_cnn.study.proxy import StorageProxy, storage_proxy
from mnist_cnn.study.recovery import close_others, recover
from mnist_cnn.study.storage import StorageError, default_storage, open_storage, storage_failed
from mnist_cnn.study.study import Study
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.training import tasks
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import CallLost, Ended, Pool

TICK_SECONDS = 0.2
# How long the last delivery to MLflow may take, at the end and after Ctrl-C.
CLOSING_SECONDS, HURRIED_SECONDS = 30.0, 5.0
# The search stops if this many workers in a row die before their trial begins: something is broken.
FALSE_STARTS = 2
WAIT_SECONDS = 30.0  # for a cluster's first worker; then a line says that none has started


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for. None means the default of the study, experiment or machine.

    Attributes:
        experiment: What identifies the experiment.
        trials: The total number of configurations of the study.
        timeout_seconds: The time limit, from `started` on.
        study: The name of the study.
        storage: The URL of Optuna's storage.
        started: When the command began, on the clock of `time.monotonic`.
    """

    experiment: ExperimentId
    trials: int | None = None
    timeout_seconds: float | None = None
    study: str | None = None
    storage: str | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A trial, or a confirmation, for a worker.

    Attributes:
        trials: The trials that it belongs to: the study's own, or its confirmations.
        number: Its number among them.
        call: What the worker executes, given the folder of the run.
        folder: The folder of the run.
        inputs: The checkpoints that it may go on from, besides its own.
        epochs: The number of epochs.
        limit_seconds: The worker is killed after this time. None means no limit.
        begins: How often a worker has begun the trial before.
    """

    trials: Trials
    number: int
    call: Callable[[Path], bool]
    folder: Path
    inputs: Sequence[Path]
    epochs: int
    limit_seconds: float | None
    begins: int


def search(request: Request, workers: Pool, console: Console) -> Study:
    """Run a search to its end.

    Args:
        request: What the user asked for.
        workers: The workers, all idle.
        console: Where to print.

    Returns:
        The study, which has a winner.

    Raises:
        UsageError: The request names something that does not exist.
        UserError: The search failed or was refused.
        KeyboardInterrupt: After Ctrl-C, once everything is saved.
    """
    # An earlier search of this process may have opened a database that was deleted since.
    open_storage.cache_clear()
    with _clear_errors():
        # Refuses an experiment in which no trial could succeed, before anything is written.
        try:
            plan = workers.call(partial(tasks.plan, request.experiment), request.timeout_seconds)
        except CallLost as error:
            raise UserError(
                f"cannot check experiment {request.experiment.name!r}: {error}"
            ) from None
        for line in _unused_gpus(workers, request.timeout_seconds):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        plan = replace(plan, precision=workers.precision or plan.precision)
        workers.share(plan.files)
        storage = request.storage or default_storage()
        with (
            open_study(plan, storage, request.study) as opened,
            storage_proxy(storage, workers.host) as proxy,
        ):
            lines = (*opened.lines, *recover(opened.study), *close_others(opened.study))
            for line in lines:
                console.print(line, highlight=False)
            for line in plan.warnings:
                console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
            if plan.unserved:
                line = f"search only: promote and serve will refuse its models: {plan.unserved}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            opened.study.enqueue_baselines(opened.study.wanted_trials(request.trials))
            Search(opened, request, workers, proxy, console).run()
            return opened.study


def _unused_gpus(workers: Pool, limit_seconds: float | None) -> list[str]:
    """Return a message if the machine has GPUs that Keras's backend cannot use."""
    there = machine.gpus() if workers.host is None else 0  # on a cluster, Ray knows of GPUs
    try:
        if not there or workers.call(tasks.computes_on_gpu, limit_seconds):
            return []
    except CallLost as error:
        raise UserError(f"cannot check whether Keras can use a GPU: {error}") from None
    return [
        f"Keras cannot use the {there} GPU(s) here, so training runs on the CPU; type "
        "`.venv/bin/uv pip install --no-deps -r requirements-gpu.lock` to install the GPU "
        f"libraries, or add WORKERS={machine.default_cpu_workers()} to use the whole CPU"
    ]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn a full disk and a failed storage into a UserError."""
    try:
        yield
    except StorageError as error:
        raise storage_failed(error) from error
    except OSError as error:
        if full := full_disk(error):
            raise full from error
        raise


class Search:
    """One search of one study, whose lock it holds.

    Raises:
        UsageError: The study is finished and has tried what the request asks for.
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
        self.proxy, self.outage = proxy, Outage()
        self.trials = study.wanted_trials(request.trials)
        self.done = study.tried()
        if study.attributes.get("finished") and self.trials <= self.done:
            raise UsageError(
                f"{study.name} is finished and has {self.done} trials; to extend it, type TRIALS= "
                "with a larger number"
            )
        self.budget = budget_of(study, request.timeout_seconds, request.started)
        self._plan_time()
        self.phase = EXPLORING
        self.tried_before, self.began = self.done, time.monotonic()
        self.tell_wait = self.began + WAIT_SECONDS
        self.false_starts = 0
        self.exhausted = bool(study.attributes.get("exhausted"))
        self.deliverer = Deliverer(study.plan.name, study.folder, MLRUNS)
        self.progress = Progress(console, study.objective, self.trials)
        self.progress.done = self.done
        if ranking := study.ranking():
            self.progress.best = (ranking[0].values[0], f"trial {ranking[0].number:03d}")

    def run(self) -> None:
        """Run the trials and the confirmations, and publish the winner.

        Raises:
            UserError: No trial was completed, or the search failed.
        """
        study = self.study
        study.set_attributes(
            trials=self.trials,
            planned=study.plan.trials,
            finished=False,
            seconds=self.budget.spent,
        )
        journal = study_run.begin(study)
        closing_seconds = HURRIED_SECONDS
        try:
            self.deliverer.start()
            while (ended := self._search_to_the_end(journal)) is None:
                pass
            (winner,) = ended
            left = self.budget.end - time.monotonic()
            closing_seconds = max(HURRIED_SECONDS, min(CLOSING_SECONDS, left))
        except BaseException:
            with suppress(OSError, *StorageError, UserError):  # the next search recovers
                self._save(journal)
            raise
        finally:
            self.deliverer.close(closing_seconds)
            self._tell_news()
        if winner is None:
            raise UserError(study_run.nothing_completed(study))
        width = self.console.width if self.console.is_terminal else study_run.ANY_WIDTH
        for line in study_run.summary(study, self.deliverer, width):
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _search_to_the_end(self, journal: Journal) -> tuple[Candidate | None] | None:
        """Run the trials and the confirmations, and publish the winner.

        Returns:
            The winner, or None if no trial was completed. No tuple if the storage was away: what
            that left behind is mended as after a kill, and the same call goes on.
        """
        study = self.study
        self.phase = EXPLORING  # again, if this is not the first call
        try:
            with self.progress:
                self._restore_models()
                self.progress.expect(self._phases())
                self.run_on_workers(self._next_trial, self._last_trial_ends)
                self._begin(CONFIRMING)
                self.run_on_workers(self._next_confirmation, lambda: self.budget.deadline)
                self._begin(REPORT)
                winner = study_run.publish(study, journal, self.workers)
            # The run ends before the study: a kill in between only publishes again.
            status = "FINISHED" if winner else "FAILED"
            journal.write("end", status=status, tags={}, step=0, metrics={})
            self._wait_for_lock()
            # If the time was too short for a single trial, the same command continues with what was
            # begun, with its full time.
            finished = winner is not None or not self._something_left()
            study.set_attributes(finished=finished, seconds=0.0)
            return (winner,)
        except StorageError as error:
            if not isinstance(storage_failed(error), Away):
                raise
        self.proxy.close()  # workers that could not be reached write nothing more
        while True:
            try:
                self._wait_for_lock()
                recover(study)
                return None
            except StorageError as error:
                if said := self.outage.begin(str(storage_failed(error))):
                    self.progress.say(said)
                time.sleep(self.outage.seconds)

    def _restore_models(self) -> None:
        """Repeat the trainings whose model a power cut has damaged.

        A run whose training does not give the same model again is no longer a candidate.
        """
        for folder in models.damaged(self.study):
            run = recorded(folder)
            assert run is not None
            self.progress.say(f"{folder.name}: its model is damaged; training it again")
            with tempfile.TemporaryDirectory() as place:
                try:
                    retrain(self.study.plan.id, run, None, Path(place))
                except UserError as error:  # another time it may succeed
                    self.progress.say(f"{folder.name}: {error}; its model stays damaged")
                    continue
                if not models.restore(folder, Path(place) / "run" / MODEL_FILE):
                    reason = "its training gave a different model"
                    models.drop(folder, reason)
                    self.progress.say(f"{folder.name}: {reason}; it is no longer a candidate")

    def _save(self, journal: Journal) -> None:
        """Record that the study was interrupted, if this search still holds its lock."""
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

    def run_on_workers(
        self, take: Callable[[], Work | None], deadline: Callable[[], float]
    ) -> None:
        """Keep all workers busy until there is nothing left to do, or until the deadline.

        Args:
            take: Returns the next trial for an idle worker, or None if there is none.
            deadline: Returns when to stop, on the clock of `time.monotonic`.
        """
        running: dict[Path, Work] = {}
        try:
            while time.monotonic() < deadline():
                idle = self.workers.idle  # none while a cluster's first actors start
                while self.workers.idle and not self.outage.lasts and (work := take()):
                    running[work.folder] = work
                    self.progress.follow(work.folder, work.epochs)
                    self.deliverer.follow(work.folder)
                    self.workers.submit_run(work.folder, work.call, work.limit_seconds, work.inputs)
                if idle and not running and not self.outage.lasts:
                    return
                self._tell_wait(started=bool(idle or running))
                all_ended = self.workers.wait(TICK_SECONDS)
                self._wait_for_lock()
                for ended in all_ended:
                    self._end(running.pop(ended.key), ended)
                self._tell_news()
                self.progress.update()
        finally:
            lost = self.workers.stop(list(running))
            with suppress(OSError, *StorageError, StudyLocked):  # the next search recovers
                if self.lock.held():
                    for work in running.values():
                        if work.folder in lost:
                            self.study.lose(work.trials, work.number, "its actor did not stop")
                        else:
                            work.trials.pause(work.number)
            for work in running.values():
                self.progress.drop(work.folder)

    def _tell_wait(self, started: bool) -> None:
        """Say once that no worker of a cluster has started for long."""
        if started:
            self.tell_wait = math.inf
        elif time.monotonic() >= self.tell_wait:
            self.tell_wait = math.inf
            self.progress.say(
                "no worker has started yet: the cluster is busy, or installs packages; trials "
                "begin when it has room"
            )

    def _end(self, work: Work, ended: Ended) -> None:
        """Tell Optuna how a trial ended, or decide what to do if its worker was lost."""
        trials, number = work.trials, work.number
        if ended.refused is Away:
            trials.pause(number)
            if said := self.outage.begin(ended.problem):
                self.progress.say(said)
        elif ended.refused:
            trials.pause(number)
            raise ended.refused(ended.problem)
        elif not ended.problem:
            self.false_starts = 0
            self.outage.end()
            trials.tell(number)
            if ended.value and trials is self.study.trials and not self.exhausted:
                self.exhausted = True
                self.study.set_attributes(exhausted=True)
                self.progress.say(
                    "the sampler has nothing left to try, so there are no more trials"
                )
        elif ended.lost:
            for line in self.study.lose(trials, number, ended.problem):
                self.progress.say(line)
        elif trials.journal(number).begins == work.begins:
            self._false_start(work, ended.problem)
        elif ended.overdue:
            trials.fail(number, ended.problem)
        else:
            self.false_starts = 0
            trials.worker_died(number, ended.problem)
        self._count(work)

    def _false_start(self, work: Work, problem: str) -> None:
        """Put back a trial whose worker died before the trial began: the trial is not to blame."""
        work.trials.pause(work.number)
        self.false_starts += 1
        if self.false_starts >= FALSE_STARTS:
            raise UserError(
                f"{self.false_starts} workers in a row ended before their trial began: {problem}; "
                "no trial is lost: fix the problem and type the same command again"
            )

    def _count(self, work: Work) -> None:
        self.progress.drop(work.folder)
        study = self.study
        trial = work.trials.get(work.number)
        if screening.is_lost(trial):
            pass  # the trial that continues it needs its checkpoint, or the one before
        elif work.trials is study.trials:
            earlier = screening.before(study.trials.all(), trial) if work.inputs else []
            study.remove_obsolete_files([work.number, *(each.number for each in earlier)])
        elif work.trials.journal(work.number).ended:
            for path in (work.folder / CHECKPOINT_FILE, *work.inputs):
                path.unlink(missing_ok=True)
        self.done = self.progress.done = study.tried()
        study.set_attributes(seconds=self.budget.seconds())
        self._plan_time()
        self.progress.expect(self._phases())

    def _plan_time(self) -> None:
        """Set when the last trial must end, so that the confirmations have their time."""
        self.confirmation_seconds = confirmation.expected_seconds(self.study, self.workers.count)
        self.trials_deadline = self.budget.trials_deadline(self.confirmation_seconds)

    def _begin(self, phase: str) -> None:
        self.phase = phase
        if phase != CONFIRMING or confirmation.outstanding(self.study):
            self.progress.begin(self._phases())

    def _phases(self) -> dict[str, float]:
        """Return the expected seconds of the current phase and of the later ones.

        What is not known is infinite or NaN, such as how many of the last trials are continued.
        """
        now, budget = time.monotonic(), self.budget
        left, tried = self.trials - self.done, self.done - self.tried_before
        pace = (now - self.began) / tried if tried else math.inf
        confirming = self.confirmation_seconds
        if math.isfinite(confirming + budget.deadline):
            confirming = min(confirming, budget.deadline - max(now, self.trials_deadline))
        phases = {
            EXPLORING: min(pace * left, self._last_trial_ends() - now) if left > 0 else math.nan,
            CONFIRMING: confirming,
            REPORT: budget.end - budget.deadline,
        }
        if not self.study.plan.confirm.trials:
            del phases[CONFIRMING]
        order = list(phases)
        return {phase: phases[phase] for phase in order[order.index(self.phase) :]}

    def _something_left(self) -> bool:
        """Return whether the study has configurations to try, or trials to continue."""
        study, screen = self.study, self.study.plan.screen
        if self.done < self._wanted() or study.trials.all(TrialState.WAITING):
            return True
        return screen is not None and any(screening.unused(study.trials.optuna_study, screen))

    def _wanted(self) -> int:
        """Return how many configurations the study should have; 0 if no new one can be made."""
        return 0 if self.exhausted else self.trials

    def _last_trial_ends(self) -> float:
        """Return when the last trial is stopped. The first complete one may take all the time."""
        return self.trials_deadline if self.progress.best else self.budget.deadline

    def _next_trial(self) -> Work | None:
        study = self.study
        trial = scheduling.next_trial(
            study,
            wanted=self._wanted(),
            seconds_left=self.trials_deadline - time.monotonic(),
        )
        if trial is None:
            return None
        epochs = screening.last_epoch(study.plan.screen, trial, study.plan.epochs)
        return self._work(study.trials, trial, epochs, study.plan.trial_timeout_seconds)

    def _next_confirmation(self) -> Work | None:
        study = self.study
        seconds_left = self.budget.deadline - time.monotonic()
        number = confirmation.next_confirmation(study, seconds_left)
        if number is None:
            return None
        limit = confirmation.limit_seconds(study)
        trial = study.confirmations.get(number)
        return self._work(study.confirmations, trial, confirmation.epochs(study), limit)

    def _work(
        self,
        trials: Trials,
        trial: optuna.Trial | FrozenTrial,
        epochs: int,
        limit_seconds: float | None,
    ) -> Work:
        folder, number = trials.folder_of(trial), trial.number
        return Work(
            trials=trials,
            number=number,
            call=partial(tasks.trial, self.study.plan.id, trials.name, self.proxy.url, number),
            folder=folder,
            inputs=self.study.inputs(trials, trial),
            epochs=epochs,
            limit_seconds=limit_seconds,
            begins=Journal(folder).begins,
        )
