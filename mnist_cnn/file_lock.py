"""Locks on files. The system releases a lock when its holder dies, however it dies."""

import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICK_SECONDS = 0.05


@contextmanager
def file_lock(path: Path, wait_seconds: float = math.inf, shared: bool = False) -> Iterator[None]:
    """Hold the lock on `path`. The file is created if missing, and is not removed.

    Args:
        path: The file. Its folder must exist.
        wait_seconds: How long to wait for another holder.
        shared: Whether others may hold it at the same time, if their lock is shared too.

    Raises:
        BlockingIOError: Another process still holds it.
        OSError: The file cannot be opened.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(TICK_SECONDS)
        yield
