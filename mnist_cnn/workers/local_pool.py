"""A pool of worker processes on this machine. Each takes one call at a time.

The pool knows nothing about trials. It places calls on processes, reports how each one ended, and
replaces a process that is lost. To stop a call it kills the process, which works no matter what the
process is doing.
"""

import errno
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe, connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.workers import machine
from mnist_cnn.workers.pool import CallLost, Ended
from mnist_cnn.workers.process import how_it_ended, start_process
from mnist_cnn.workers.worker import Answer, work

LONGEST_TICK_SECONDS = 2.0  # the most that one tick adds to a call's time, however long it took
# What the system answers if a process may open no more files or start no more processes.
TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
CALLS = 50  # TensorFlow leaks 4 MB with every run; a new process takes a few seconds


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    calls: int = 0
    key: Any = None
    limit_seconds: float = math.inf
    spent_seconds: float = 0.0
    first_bytes: int = 0  # memory after the first call, which has loaded what every call needs


class Workers:
    """A pool of processes. The first starts at once, the others with the first call.

    So the first process is ready sooner, while the caller is still importing modules itself.

    Args:
        environments: The environment variables of each process, one mapping per process. They are
            set before the process imports anything.
        log: The file to which the processes and their libraries print.
        memory_bytes: A process that has grown by more than this since its first call is replaced.
        calls: A process that has made this many calls is replaced.
        prepare: A function that each process runs before its first call, such as slow imports. It
            does not count towards the time limit of a call.

    Raises:
        UserError: The disk is full, no temporary folder can be created, or no process may start.
    """

    # As in `Pool`, on this machine.
    host: str | None = None
    precision: str | None = None

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
        # TensorFlow leaves temporary files behind when it is killed, so each process has a
        # temporary folder of its own.
        try:
            self._folder = tempfile.TemporaryDirectory(
                prefix="mnist-cnn-workers-", ignore_cleanup_errors=True
            )
        except OSError as error:
            raise full_disk(error) or UserError(f"no temporary folder: {error}") from None
        self._workers: list[_Worker] = []
        self._workers.append(self._start(0))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
        self._folder.cleanup()

    @property
    def count(self) -> int:
        """The number of calls that can run in parallel."""
        return len(self._environments)

    @property
    def idle(self) -> int:
        """The number of processes that can take a call."""
        return len(self._environments) - len(self.running)

    @property
    def running(self) -> list[Any]:
        """The keys of the running calls."""
        return [worker.key for worker in self._workers if worker.key is not None]

    def take_remarks(self) -> list[str]:
        """Return lines for the user. There are none."""
        return []

    def share(self, files: Sequence[Path]) -> None:
        """Let all processes read files of the current folder. On one machine they can anyway."""

    def submit_run(
        self,
        folder: Path,
        call: Callable[[Path], Any],
        limit_seconds: float | None = None,
        inputs: Sequence[Path] = (),
    ) -> None:
        """Give a call that works in the folder of a run to an idle process.

        Args:
            folder: The folder, which is the key of the call and its last argument.
            call: As in `submit`.
            limit_seconds: As in `submit`.
            inputs: Files that the call reads, in folders beside that folder.
        """
        self.submit(folder, partial(call, folder), limit_seconds)

    def submit(self, key: Any, call: Callable[[], Any], limit_seconds: float | None = None) -> None:
        """Give a call to an idle process.

        Args:
            key: Identifies the call in `wait` and `stop`.
            call: A picklable function: one of a module, or a `functools.partial` of one.
            limit_seconds: The process is killed after this time. None means no limit.

        Raises:
            RuntimeError: No process is idle.
            UserError: The system refuses to start so many processes.
        """
        for place in range(len(self._workers), len(self._environments)):
            self._workers.append(self._start(place))
        places = [place for place, worker in enumerate(self._workers) if worker.key is None]
        if not places:
            raise RuntimeError("every process already has a call")
        place = max(places, key=lambda place: self._workers[place].ready)
        if not self._workers[place].process.is_alive():
            self._workers[place] = self._start(place)
        worker = self._workers[place]
        worker.key, worker.limit_seconds = key, limit_seconds or math.inf
        worker.spent_seconds = 0.0
        with suppress(BrokenPipeError):  # the process has just died; the next `wait` reports it
            worker.connection.send(call)

    def call(self, call: Callable[[], Any], limit_seconds: float | None = None) -> Any:
        """Make one call while no other is running, and return its value.

        Args:
            call: As in `submit`.
            limit_seconds: As in `submit`.

        Raises:
            UserError: The call raised UserError, or the disk is full. UsageError stays UsageError.
            CallLost: The call raised another exception, took longer than `limit_seconds`, or lost
                its process.
        """
        self.submit(call, call, limit_seconds)
        while not (ended := self.wait(1)):
            pass
        (one,) = ended
        if one.problem:
            raise (one.refused or CallLost)(one.problem)
        return one.value

    def wait(self, seconds: float) -> list[Ended]:
        """Return the calls that have ended; wait up to `seconds` for the first one."""
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
                self._kill_if_leaky(worker)
            # A process that has just died while it has a call keeps it; the next `wait` ends it.
            if worker.key is None and not worker.process.is_alive():
                self._workers[place] = self._start(place)
        return ended

    def stop(self, keys: Sequence[Any]) -> list[Any]:
        """Kill the processes that run these calls. They are replaced when they are needed.

        Returns:
            The calls that may still be running: none.
        """
        for worker in self._workers:
            if worker.key in keys:
                self._kill(worker)
                self._free(worker)
        return []

    def _tick(self) -> None:
        """Add the time since the last tick to the running calls.

        While this process is suspended or the machine sleeps, its calls do not run either, so that
        time does not count.
        """
        now = time.monotonic()
        seconds = min(now - self._ticked, LONGEST_TICK_SECONDS)
        self._ticked = now
        for worker in self._workers:
            if worker.key is not None and worker.ready:
                worker.spent_seconds += seconds

    def _result(self, worker: _Worker) -> Ended | None:
        alive = worker.process.is_alive()  # checked first, so that its last message is still read
        if worker.key is None and not alive:
            return None  # the answer of a call that was stopped is ignored
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
            return Ended(worker.key, problem=f"its process {how_it_ended(worker.process.exitcode)}")
        if worker.spent_seconds > worker.limit_seconds:
            self._kill(worker)
            return Ended(worker.key, problem="it took longer than its time limit", overdue=True)
        return None

    def _kill_if_leaky(self, worker: _Worker) -> None:
        """Kill a process after a call if it may have leaked much memory. It is idle."""
        worker.calls += 1
        held = machine.memory_of(worker.process.pid)
        if worker.calls == 1:
            worker.first_bytes = held
        grown = held - worker.first_bytes
        if grown > self._memory_bytes or worker.calls >= self._calls:
            self._kill(worker)

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()

    def _free(self, worker: _Worker) -> None:
        worker.key, worker.limit_seconds = None, math.inf

    def _start(self, place: int) -> _Worker:
        try:
            return self._started(place)
        except OSError as error:
            if error.errno not in TOO_MANY:
                raise
            fewer = max(1, len(self._workers) // 2)  # the search itself opens files too
            raise UserError(
                f"cannot start worker {place + 1} of {self.count}: {error.strerror}; use fewer, "
                f"such as WORKERS={fewer} or --workers {fewer}, or raise the limits that "
                "`ulimit -a` shows"
            ) from error

    def _started(self, place: int) -> _Worker:
        ours, theirs = Pipe()
        folder = Path(self._folder.name) / str(place)
        shutil.rmtree(folder, ignore_errors=True)  # of the process that had this place before
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**self._environments[place], "TMPDIR": str(folder)}
        try:
            process = start_process(work, theirs, environment, self._log, self._prepare)
        except BaseException:  # such as Ctrl-C; a process that has no connection ends by itself
            ours.close()
            raise
        finally:
            theirs.close()
        return _Worker(process, ours)
