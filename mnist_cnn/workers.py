"""Worker processes: each takes one call at a time, and a lost one is replaced.

The pool knows nothing of trials. It places calls on processes and says how each ended; a call is
stopped by killing its process, which works whatever the process hangs in.
"""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mnist_cnn import machine
from mnist_cnn.errors import UserError

_context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork


@dataclass(frozen=True)
class Ended:
    """How a call ended.

    value: what it returned.
    problem: "" if it returned; else, in a few words, why not.
    refused: whether it raised UserError, so that the same call elsewhere would fail too.
    overdue: whether it was killed at its time limit.
    """

    key: Any
    value: Any = None
    problem: str = ""
    refused: bool = False
    overdue: bool = False


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    key: Any = None
    deadline: float = math.inf


class Workers:
    """A fixed number of processes, started at once.

    environments: one for each process, set before anything is imported there.
    log: file that takes what the processes and their libraries print.
    memory_bytes: a process that holds more than this after a call is replaced.
    """

    def __init__(
        self, environments: Sequence[Mapping[str, str]], log: Path, memory_bytes: float = math.inf
    ) -> None:
        self._environments, self._log, self._memory_bytes = environments, log, memory_bytes
        self._workers = [self._start(place) for place in range(len(environments))]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    @property
    def idle(self) -> int:
        """How many processes wait for a call."""
        return sum(worker.key is None for worker in self._workers)

    @property
    def running(self) -> list[Any]:
        """The keys of the calls under way."""
        return [worker.key for worker in self._workers if worker.key is not None]

    def submit(self, key: Any, call: Callable[[], Any], limit_seconds: float | None = None) -> None:
        """Give `call` to an idle process; after `limit_seconds` it is killed.

        `call` must be picklable: a module's function, or a `functools.partial` of one.
        """
        place = next(i for i, worker in enumerate(self._workers) if worker.key is None)
        if not self._workers[place].process.is_alive():
            self._workers[place] = self._start(place)
        worker = self._workers[place]
        worker.key = key
        worker.deadline = time.monotonic() + (limit_seconds or math.inf)
        worker.connection.send(call)

    def call(self, call: Callable[[], Any]) -> Any:
        """Make one call on an idle process and return what it returns; raises UserError if it
        raised anything."""
        self.submit(call, call)
        while not (ended := self.wait(60)):
            pass
        if ended[0].problem:
            raise UserError(ended[0].problem)
        return ended[0].value

    def wait(self, seconds: float) -> list[Ended]:
        """The calls that ended, at once if there are some, else after `seconds` at the most."""
        sources = [w.connection for w in self._workers] + [
            w.process.sentinel for w in self._workers
        ]
        wait(sources, seconds)
        ended = []
        for place, worker in enumerate(self._workers):
            result = self._result(worker)
            if result is not None:
                ended.append(result)
                worker.key, worker.deadline = None, math.inf
                if machine.memory_of(worker.process.pid) > self._memory_bytes:
                    self._kill(worker)  # it is idle, and what leaked goes with it
            # One that died since it was asked keeps its call, which ends at the next waiting.
            if worker.key is None and not worker.process.is_alive():
                self._workers[place] = self._start(place)
        return ended

    def stop(self, keys: list[Any]) -> None:
        """Kill the processes that run these calls, and replace them."""
        for place, worker in enumerate(self._workers):
            if worker.key in keys:
                self._kill(worker)
                self._workers[place] = self._start(place)

    def _result(self, worker: _Worker) -> Ended | None:
        alive = worker.process.is_alive()  # asked first: what it sent before it died is still read
        try:
            if worker.connection.poll():
                return Ended(worker.key, *worker.connection.recv())
        except (EOFError, ConnectionResetError):
            self._kill(worker)
            alive = False
        if worker.key is None:
            return None
        if not alive:
            return Ended(worker.key, problem=f"its process {_how(worker.process.exitcode)}")
        if time.monotonic() > worker.deadline:
            self._kill(worker)
            return Ended(worker.key, problem="it took longer than its time limit", overdue=True)
        return None

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()

    def _start(self, place: int) -> _Worker:
        ours, theirs = _context.Pipe()
        process = _context.Process(
            target=_work, args=(theirs, self._environments[place], self._log, sys.path), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _how(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exited with {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _die_with_parent() -> None:
    """Without a parent nobody would stop this process, and a new search may take its trial."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(
    connection: Connection, environment: Mapping[str, str], log: Path, search_path: list[str]
) -> None:
    """A worker's whole life: take a call, make it, say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_die_with_parent, daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a kill loses the rest
    os.environ.update(environment)
    sys.path[:] = search_path
    while True:
        try:
            call = connection.recv()
        except EOFError:
            return  # the parent is gone, so is the pipe
        try:
            answer = (call(), "", False)
        except UserError as error:
            answer = (None, str(error), True)
        except Exception as error:
            answer = (None, f"{type(error).__name__}: {error}", False)
        connection.send(answer)
