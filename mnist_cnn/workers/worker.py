"""The main loop of a worker process of this machine: it receives calls, makes them, and answers."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mnist_cnn.errors import Unreachable, UsageError, UserError, full_disk

OOM_SCORE = 500  # of 1000: when memory runs out, Linux kills a worker before the search process


@dataclass(frozen=True)
class Ready:
    """A worker's first message: it is ready for calls."""


@dataclass(frozen=True)
class Answer:
    """A worker's message after each call.

    Attributes:
        value: The return value of the call.
        problem: Why the call did not return, in a few words; "" if it did.
        refused: The type of error if the same call would fail in any process: it raised UserError,
            or the disk is full. `Unreachable` means that it would fail now. None otherwise.
    """

    value: Any = None
    problem: str = ""
    refused: type[UserError] | None = None


def work(
    pipe: Connection,
    environment: Mapping[str, str],
    log: Path,
    prepare: Callable[[], None] | None,
) -> None:
    """Receive a call, make it, send an answer, and so on, until the parent is gone.

    Args:
        pipe: The connection to the parent.
        environment: The environment variables to set before anything is imported.
        log: The file to print to.
        prepare: As for `local_pool.Workers`.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a kill loses no line
    os.environ.update(environment)
    if prepare:
        with suppress(Exception):  # the call that needs it will report the error
            prepare()
    pipe.send(Ready())
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return  # the parent is gone
        pipe.send(_answer(call))


def _answer(call: Callable[[], Any]) -> Answer:
    try:
        return Answer(call())
    except UserError as error:
        kinds = (kind for kind in (UsageError, Unreachable) if isinstance(error, kind))
        return Answer(problem=str(error), refused=next(kinds, UserError))
    except Exception as error:
        if full := full_disk(error):
            return Answer(problem=str(full), refused=UserError)
        return Answer(problem=f"{type(error).__name__}: {error}")
