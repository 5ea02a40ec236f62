"""Locks on files. The system releases one when its holder dies, in whatever way it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock on `path`, which is made if it is not there and stays afterwards.

    Args:
        path: The file. Its folder must exist.
        wait: Whether to wait for another holder.

    Raises:
        BlockingIOError: Somebody else holds it and `wait` is False.
        OSError: The file cannot be opened.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
