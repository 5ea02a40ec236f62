"""Worker processes: each takes one call at a time, and a lost one is replaced.

The pool knows nothing of trials. It places calls on processes and says how each ended. To stop a
call it kills the process, which works whatever the process hangs in.
"""

import ctypes
import math
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UsageError, UserError, full_disk
from mnist_cnn.workers import machine
from mnist_cnn.workers.signals import STOPPING

LONGEST_TICK_SECONDS = 2.0  # that a call's time limit counts, however long this process slept
CALLS = 50  # TensorFlow keeps 4 MB of every training; to start anew takes a few seconds
OOM_SCORE = 500  # of 1000: when memory runs out, Linux kills a worker before anything else of ours

_context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork


class CallLost(UserError):
    """A call that gave no answer of its own."""


@dataclass(frozen=True)
class Ready:
    """A worker's first message: it has prepared itself."""


@dataclass(frozen=True)
class Answer:
    """A worker's message after each call.

    Attributes:
        value: What the call returned.
        problem: Why it did not return, in a few words; "" if it did.
        refused: The kind of UserError that it raised, also for a full disk, so that the same call
            would fail elsewhere too; None if it raised anything else.
    """

    value: Any = None
    problem: str = ""
    refused: type[UserError] | None = None


@dataclass(frozen=True)
class Ended:
    """How a call ended.

    Attributes:
        key: The key that it was submitted with.
        value: What it returned.
        problem: Why it did not return, in a few words; "" if it did.
        refused: The kind of UserError that it raised, so that the same call would fail elsewhere
            too; None if it raised anything else.
        overdue: Whether it was killed at its time limit.
    """

    key: Any
    value: Any = None
    problem: str = ""
    refused: type[UserError] | None = None
    overdue: bool = False


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    calls: int = 0
    key: Any = None
    limit_seconds: float = math.inf
    spent_seconds: float = 0.0
    first_bytes: int = 0  # held after the first call, with the data that every call needs


class Workers:
    """A fixed number of processes: the first is started at once, the others with the first call.

    So the first is ready sooner, beside what the caller itself still has to import.

    Args:
        environments: One for each process, set before anything is imported there.
        log: The file that takes what the processes and their libraries print.
        memory_bytes: A process that has grown by more than this since its first call is replaced.
        calls: A process that has made this many calls is replaced.
        prepare: What each process does before its first call, such as imports. No call's time
            limit counts it.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        log: Path,
        memory_bytes: float = math.inf,
        calls: int = CALLS,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._environments, self._log, self._memory_bytes = environments, log, memory_bytes
        self._calls, self._prepare = calls, prepare
        self._ticked = time.monotonic()
        # TensorFlow leaves files in a killed process's folder for them: each has one of its own.
        try:
            self._folder = tempfile.TemporaryDirectory(
                prefix="mnist-cnn-workers-", ignore_cleanup_errors=True
            )
        except OSError as error:
            raise full_disk(error) or UserError(f"no temporary files: {error}") from None
        self._workers = [self._start(0)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
        self._folder.cleanup()

    @property
    def idle(self) -> int:
        """How many processes are free for a call."""
        return len(self._environments) - len(self.running)

    @property
    def running(self) -> list[Any]:
        """The keys of the calls under way."""
        return [worker.key for worker in self._workers if worker.key is not None]

    def submit(self, key: Any, call: Callable[[], Any], limit_seconds: float | None = None) -> None:
        """Give `call` to an idle process; after `limit_seconds` it is killed.

        Args:
            key: Comes back with the call's end.
            call: Picklable: a module's function, or a `functools.partial` of one.
            limit_seconds: None for no limit.

        Raises:
            RuntimeError: No process is idle.
        """
        for place in range(len(self._workers), len(self._environments)):
            self._workers.append(self._start(place))
        places = [place for place, worker in enumerate(self._workers) if worker.key is None]
        if not places:
            raise RuntimeError("every process has a call already")
        place = max(places, key=lambda place: self._workers[place].ready)
        if not self._workers[place].process.is_alive():
            self._workers[place] = self._start(place)
        worker = self._workers[place]
        worker.key, worker.limit_seconds = key, limit_seconds or math.inf
        worker.spent_seconds = 0.0
        with suppress(BrokenPipeError):  # it died in this moment; the next waiting tells
            worker.connection.send(call)

    def call(self, call: Callable[[], Any], limit_seconds: float | None = None) -> Any:
        """Make one call while no other is under way, and return what it returns.

        Raises:
            UserError: The call raised it.
            CallLost: The call raised anything else, took longer than `limit_seconds`, or lost its
                process.
        """
        self.submit(call, call, limit_seconds)
        while not (ended := self.wait(1)):
            pass
        (one,) = ended
        if one.problem:
            raise (one.refused or CallLost)(one.problem)
        return one.value

    def wait(self, seconds: float) -> list[Ended]:
        """Return the calls that ended: at once if there are some, else within `seconds`."""
        sources = [w.connection for w in self._workers] + [
            w.process.sentinel for w in self._workers
        ]
        connection.wait(sources, seconds)
        self._tick()
        ended = []
        for place, worker in enumerate(self._workers):
            result = self._result(worker)
            if result is not None:
                ended.append(result)
                self._free(worker)
                worker.calls += 1
                held = machine.memory_of(worker.process.pid)
                if worker.calls == 1:
                    worker.first_bytes = held
                grown = held - worker.first_bytes
                if grown > self._memory_bytes or worker.calls >= self._calls:
                    self._kill(worker)  # it is idle, and what leaked goes with it
            # One that died since it was asked keeps its call, which ends at the next waiting.
            if worker.key is None and not worker.process.is_alive():
                self._workers[place] = self._start(place)
        return ended

    def stop(self, keys: list[Any]) -> None:
        """Kill the processes that run these calls; they are replaced when they are needed."""
        for worker in self._workers:
            if worker.key in keys:
                self._kill(worker)
                self._free(worker)

    def _tick(self) -> None:
        """Count the time since the last tick for the calls under way.

        While this process is stopped or the machine sleeps, so are its calls, and that costs them
        nothing.
        """
        now = time.monotonic()
        seconds = min(now - self._ticked, LONGEST_TICK_SECONDS)
        self._ticked = now
        for worker in self._workers:
            if worker.key is not None and worker.ready:
                worker.spent_seconds += seconds

    def _result(self, worker: _Worker) -> Ended | None:
        alive = worker.process.is_alive()  # asked first: what it sent before it died is still read
        if worker.key is None and not alive:
            return None  # what a call that was stopped has still answered is nobody's
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if isinstance(message, Answer):
                    return Ended(worker.key, message.value, message.problem, message.refused)
                worker.ready = True
        except (EOFError, ConnectionResetError):
            self._kill(worker)
            alive = False
        if worker.key is None:
            return None
        if not alive:
            return Ended(worker.key, problem=f"its process {_how(worker.process.exitcode)}")
        if worker.spent_seconds > worker.limit_seconds:
            self._kill(worker)
            return Ended(worker.key, problem="it took longer than its time limit", overdue=True)
        return None

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()

    def _free(self, worker: _Worker) -> None:
        worker.key, worker.limit_seconds = None, math.inf

    def _start(self, place: int) -> _Worker:
        ours, theirs = _context.Pipe()
        folder = Path(self._folder.name) / str(place)
        shutil.rmtree(folder, ignore_errors=True)  # of the one that had this place before
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**self._environments[place], "TMPDIR": str(folder)}
        process = _context.Process(
            target=_work,
            args=(theirs, environment, self._log, sys.path, os.getpid(), self._prepare),
            daemon=True,
        )
        # A terminal sends Ctrl-C to every process of the command, and only the search knows how to
        # stop. The process is born with these signals blocked and keeps them so.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        return _Worker(process, ours)


def _how(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exited with {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _die_with(parent: int) -> None:
    """Without its parent nobody would stop this process, and a new search may take its trial."""
    with suppress(AttributeError):  # Linux only; it works whatever this process hangs in
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_wait_for_the_parents_end, daemon=True).start()


def _wait_for_the_parents_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(
    pipe: Connection,
    environment: Mapping[str, str],
    log: Path,
    search_path: list[str],
    parent: int,
    prepare: Callable[[], None] | None,
) -> None:
    """A worker's whole life: take a call, make it, say how it ended."""
    _die_with(parent)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a kill loses the rest
    os.environ.update(environment)
    sys.path[:] = search_path
    if prepare:
        with suppress(Exception):  # the call that needs it will say what is wrong
            prepare()
    pipe.send(Ready())
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return  # the parent is gone, so is the pipe
        try:
            answer = Answer(call())
        except UserError as error:
            kind = UsageError if isinstance(error, UsageError) else UserError
            answer = Answer(problem=str(error), refused=kind)
        except Exception as error:
            if full := full_disk(error):
                answer = Answer(problem=str(full), refused=UserError)
            else:
                answer = Answer(problem=f"{type(error).__name__}: {error}")
        pipe.send(answer)
