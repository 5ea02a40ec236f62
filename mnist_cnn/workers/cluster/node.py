"""An actor on a node of a Ray cluster, with one worker process and a copy of its run.

The actor imports no Keras. Its worker process is that of a local pool, so time limits, memory and
the death of a process are handled as on one machine, and the process dies with the actor. The call
works in a folder of the node. The search asks for what is new there, again and again, and copies it
to the folder of the run.
"""

import asyncio
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import ray

from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import make_folder
from mnist_cnn.mlruns import NODE
from mnist_cnn.workers import machine
from mnist_cnn.workers.cluster.copies import (
    copy_project,
    current_folder,
    remove_left,
    write_once,
)
from mnist_cnn.workers.cluster.news import News, RunFolder
from mnist_cnn.workers.local_pool import Workers
from mnist_cnn.workers.pool import Ended

CHECKPOINT_SECONDS = 30.0  # the least time between two copies of a checkpoint, unless the run ends
LOOK_SECONDS = 0.1  # how often the actor looks at its process and its folder


class Node:
    """The actor. All its methods are coroutines, so it answers while it waits for news.

    Args:
        environment: The environment variables of the worker process.
        prepare: As for `Workers`.
        name: A name that no other actor of the search has, for its folder.
        shared_addresses: Whether several nodes have the same address, so that a node is named by
            its id too.
        checkpoint_seconds: The least time between two copies of a checkpoint.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        prepare: Callable[[], None] | None,
        name: str,
        shared_addresses: bool = False,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        unpacked = current_folder()
        # Beside it, in the folder of Ray's session, of which Ray removes only what it has unpacked.
        job = unpacked.with_name(f"mnist-cnn-{ray.get_runtime_context().get_job_id()}")
        self._alive = ExitStack()
        self._alive.enter_context(file_lock(job.with_suffix(".lock"), shared=True))
        remove_left(job.parent)
        self._home = job.with_name(f"{job.name}-{name}")
        self._data = job.with_name(f"{job.name}-data")  # of all actors on this machine
        self._place = self._home / "mlruns" / "worker"
        with _removed_if_it_fails(self._home):
            copy_project(unpacked, self._home)
            os.chdir(self._home)
            make_folder(self._place)
        sys.path[:] = [str(self._home), *(path for path in sys.path if path != str(unpacked))]
        tempfile.tempdir = str(self._place)
        threads = int(environment["NPROC"])
        memory = machine.worker_memory(max(1, machine.cores() // threads))
        shown = ray.util.get_node_ip_address()
        if shared_addresses:
            shown += f"/{ray.get_runtime_context().get_node_id()[:4]}"
        own = {**environment, NODE: shown}
        self._make_pool = partial(Workers, [own], self._place / "log", memory, prepare=prepare)
        self._checkpoint_seconds = checkpoint_seconds
        self._run: RunFolder | None = None
        self._ended: Ended | None = None
        self._attempt = 0  # that began last
        self._stopped: float = 0  # the highest attempt that was stopped
        self._beginning = asyncio.Lock()

    @cached_property
    def _pool(self) -> Workers:
        """The pool, which the first coroutine makes.

        The worker process dies with the thread that started it. The thread of the coroutines lives
        as long as the actor; that of `__init__` may not.
        """
        return self._make_pool()

    async def node(self) -> str:
        """Start the worker process, and return the id of the node."""
        with _removed_if_it_fails(self._home):
            self._pool.wait(0)
        return str(ray.get_runtime_context().get_node_id())

    async def watch(self) -> None:
        """Never return. The call fails when the actor dies."""
        await asyncio.Event().wait()

    async def begin(
        self,
        attempt: int,
        folder: str,
        call: Callable[[Path], Any],
        limit_seconds: float | None,
        files: Mapping[str, bytes],
        shared: Mapping[str, "Sequence[ray.ObjectRef[Any]]"],
    ) -> None:
        """Begin a call that works in the folder of a run.

        Args:
            attempt: A number of this call, higher than those before. Ray may deliver requests in
                another order, so one that was stopped, or is not above the last that began, does
                not begin.
            folder: The folder, relative to that of its study.
            call: Called with the folder on this node.
            limit_seconds: As in `Workers.submit`.
            files: The contents of the files that it needs, by their paths relative to the study's
                folder.
            shared: The pieces of files that all calls need, by their paths relative to the project,
                in Ray's object store. A machine fetches each once.
        """
        async with self._beginning:
            if attempt <= max(self._attempt, self._stopped):
                return
            await self._fetch(shared)
            if attempt <= self._stopped:  # meanwhile
                return
            root = self._place / "runs"
            shutil.rmtree(root, ignore_errors=True)
            for path, content in files.items():
                make_folder((root / path).parent)
                (root / path).write_bytes(content)
            make_folder(root / folder)
            self._run = RunFolder(root / folder, self._checkpoint_seconds)
            self._ended, self._attempt = None, attempt
            self._pool.submit(folder, partial(call, root / folder), limit_seconds)

    async def news(self, attempt: int, offset: int, serial: int, seconds: float) -> News:
        """Wait for news of a call, up to `seconds`, and return it.

        Args:
            attempt: The number of the call. If another one has begun, there are no news.
            offset: The number of bytes of the journal that the search has.
            serial: The number of the last news that the search has. Files are sent again until they
                are confirmed by it.
            seconds: The longest time to wait.
        """
        run = self._run
        if run is None or attempt != self._attempt:
            return News()
        deadline = time.monotonic() + seconds
        run.confirm(serial)
        while run is self._run:
            for ended in self._pool.wait(0):
                self._ended = ended
            found = run.news(offset, self._ended)
            if found.lines or found.files or found.ended or time.monotonic() >= deadline:
                return found
            await asyncio.sleep(LOOK_SECONDS)
        return News()  # nobody waits for it: the call was stopped, and another one has begun

    async def stop(self, attempt: int) -> None:
        """Kill the worker process, which is replaced at once.

        Args:
            attempt: The number of the last call. It does not begin if it has not begun yet.
        """
        if math.isinf(self._stopped):  # it has left
            return
        self._stopped = max(self._stopped, attempt)
        self._pool.stop(self._pool.running)
        self._pool.wait(0)

    async def leave(self) -> None:
        """Kill the worker process, and remove this actor's folder and the shared data."""
        self._stopped, self._run = math.inf, None
        self._pool.__exit__()
        for folder in (self._home, self._data):
            shutil.rmtree(folder, ignore_errors=True)

    async def _fetch(self, shared: "Mapping[str, Sequence[ray.ObjectRef[Any]]]") -> None:
        """Put the shared files into the project, as links to the copy of all actors here."""
        for path, pieces in shared.items():
            await write_once(self._data / path, pieces)
            make_folder((self._home / path).parent)
            with suppress(FileExistsError):
                (self._home / path).symlink_to(self._data / path)


@contextmanager
def _removed_if_it_fails(folder: Path) -> Iterator[None]:
    """Remove a folder if the block fails. The next actor makes another one."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
