"""Starts processes that run no script of the caller's, and that die when this process does."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_cnn.workers.signals import STOPPING

_context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
_main_is_hidden = threading.Lock()  # held by the thread that hides it


def start_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that runs a function of this package, and ends when this process does.

    It finds the modules that this process finds, and has the stopping signals blocked.
    """
    process = _context.Process(
        target=_run, args=(os.getpid(), sys.path, target, arguments), daemon=True
    )
    with _without_main(), _with_this_package(), _without_signals():
        process.start()
    return process


def _run(
    parent: int, search_path: list[str], target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    _die_with(parent)
    sys.path[:] = search_path
    target(*arguments)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the script that this process runs. Every process that starts meanwhile would run it too.

    `multiprocessing` does that so that objects of the script can be unpickled. Workers get none.
    """
    with _main_is_hidden:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _without_signals() -> Iterator[None]:
    """Block the stopping signals. Processes that start meanwhile leave them blocked.

    A terminal sends Ctrl-C to every process of the command, but only the search process handles it.
    """
    resource_tracker.ensure_running()  # when it starts, it unblocks these signals
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _with_this_package() -> Iterator[None]:
    """Add the folder of this package to the search path, at its end.

    A process begins with a copy of the path, and takes its parent's exact one in `_run`. It might
    not find this package there: a notebook may have imported it by a relative entry, and then have
    changed its folder.
    """
    before = sys.path[:]
    sys.path.append(str(Path(__file__).parents[2]))
    try:
        yield
    finally:
        sys.path[:] = before


def _die_with(parent: int) -> None:
    """End this process when its parent dies, so that a new search can take over its trial."""
    with suppress(AttributeError):  # Linux only; works no matter what this process is doing
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_wait_for_the_parents_end, daemon=True).start()


def _wait_for_the_parents_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def how_it_ended(exitcode: int | None) -> str:
    """Return how a process ended, in a few words."""
    if exitcode is None or exitcode >= 0:
        return f"exited with {exitcode}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-exitcode, f"signal {-exitcode}")
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
