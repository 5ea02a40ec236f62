"""The copy of the project that an actor works in, and the data that all actors of a machine share.

All nodes of a machine share the folder into which Ray unpacks the project, and Ray removes and
unpacks it again whenever another node joins there. So each actor has its own copy.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import make_folder, replace_file

COPY_SECONDS = 60.0  # for Ray to unpack the project again, if it has removed it
AGAIN_SECONDS = 0.1  # until another try
PIECE_BYTES = 2**26  # of a shared file that are in memory at once


def current_folder() -> Path:
    """Return the current folder, also if Ray has replaced it since this process started."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ["PWD"])


def copy_project(source: Path, target: Path, seconds: float = COPY_SECONDS) -> None:
    """Copy a folder that Ray may remove and unpack again, but not meanwhile.

    Args:
        source: The folder.
        target: A folder to create.
        seconds: How long to wait for Ray to unpack it.

    Raises:
        OSError: It is not there in time, or cannot be copied.
    """
    deadline = time.monotonic() + seconds
    while True:
        with file_lock(_lock_of(source)):
            if source.is_dir():
                shutil.copytree(source, target)
                return
        if time.monotonic() >= deadline:
            raise FileNotFoundError(f"Ray has removed {source}")
        time.sleep(AGAIN_SECONDS)


def _lock_of(unpacked: Path) -> Path:
    """Return the lock that Ray holds while it removes or unpacks a folder."""
    return unpacked.with_name(f"{unpacked.name}.zip.lock")


def remove_left(folder: Path) -> None:
    """Remove the copies and the data of searches whose actors on this machine were killed.

    Args:
        folder: The folder of `mnist-cnn-JOB-…`. An actor shares the lock `mnist-cnn-JOB.lock`.
    """
    for lock in folder.glob("mnist-cnn-*.lock"):
        with suppress(OSError), file_lock(lock, 0.0):
            for left in folder.glob(f"{lock.stem}-*"):
                shutil.rmtree(left, ignore_errors=True)


def stamp(path: Path) -> tuple[int, int]:
    """Return a stamp that changes if a file is replaced."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def pieces_of(path: Path) -> "list[ray.ObjectRef[Any]]":
    """Put a file, which may be larger than the memory, into Ray's object store, in pieces."""
    pieces = []
    with path.open("rb") as file:
        while content := file.read(PIECE_BYTES):
            pieces.append(ray.put(content))
    return pieces


async def write_once(path: Path, pieces: "Sequence[ray.ObjectRef[Any]]") -> None:
    """Write a shared file, unless another actor of this machine has, or does so now.

    The actor answers meanwhile, since only a thread waits.

    Args:
        path: The file.
        pieces: See `pieces_of`. One at a time is fetched.
    """
    if path.exists():
        return
    loop = asyncio.get_running_loop()

    async def fetched(piece: "ray.ObjectRef[Any]") -> Any:
        return await piece

    def write(part: Path) -> None:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(asyncio.run_coroutine_threadsafe(fetched(piece), loop).result())

    def write_unless_there() -> None:
        make_folder(path.parent)
        with file_lock(path.with_name(f"{path.name}.lock")):
            if not path.exists():
                replace_file(path, write)

    await asyncio.to_thread(write_unless_there)
