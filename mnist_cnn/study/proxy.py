"""Serves Optuna's storage to workers on other machines, over whatever storage the study has.

It is Optuna's own gRPC proxy, in a process of its own beside the search. It has no password and no
encryption, as Ray has none: it is for a trusted network. Each proxy has a new port and dies with
its search, so a worker of an earlier search never reaches a later one.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from mnist_cnn.errors import Unreachable, UserError
from mnist_cnn.optuna_internals import serve_storage
from mnist_cnn.study.storage import GRPC, open_storage
from mnist_cnn.workers.process import start_process

START_SECONDS = 60.0
THREADS = 16  # each request of a worker holds one for some milliseconds


class StorageProxy:
    """The URL at which workers reach a storage, with a process that serves it if they need one.

    Args:
        storage: The URL of the storage.
        host: The address of this machine for the workers. None if they run on it, so that they
            reach the storage themselves.
    """

    def __init__(self, storage: str, host: str | None) -> None:
        self._storage, self._host = storage, host
        self._process: BaseProcess | None = None
        self._url = storage

    def serve(self) -> str:
        """Return the URL. A process that serves it is started if workers need one and none lives.

        Raises:
            Unreachable: It cannot be started again now, such as when the storage is unavailable.
            UserError: It cannot be started at all.
        """
        if self._host is not None and not (self._process and self._process.is_alive()):
            self._process, port = self._start(self._host)
            self._url = f"{GRPC}{self._host}:{port}"
        return self._url

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.join()

    def _start(self, host: str) -> tuple[BaseProcess, int]:
        ours, theirs = Pipe()
        process = start_process(_serve, theirs, self._storage, host)
        theirs.close()
        try:
            if not ours.poll(START_SECONDS):
                raise EOFError
            return process, ours.recv()
        except EOFError:
            process.kill()
            process.join()
            kind = Unreachable if self._process else UserError
            raise kind(f"Optuna's storage cannot be served to workers on {host}") from None


@contextmanager
def storage_proxy(storage: str, host: str | None) -> Iterator[StorageProxy]:
    """Serve a storage inside the block, see `StorageProxy`."""
    proxy = StorageProxy(storage, host)
    try:
        yield proxy
    finally:
        proxy.close()


def _serve(pipe: Connection, storage: str, host: str) -> None:
    with socket.socket() as probe:  # a free port; the server takes it a moment later
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    server = serve_storage(open_storage(storage), host, port, THREADS)
    pipe.send(port)
    server.wait_for_termination()
