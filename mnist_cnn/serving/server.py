"""Starts the web app: takes the port, loads the champion, runs uvicorn."""

import os
import resource
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from PIL import Image

from mnist_cnn.errors import UserError
from mnist_cnn.serving.limits import ImpatientProtocol

if TYPE_CHECKING:  # it imports TensorFlow, which waits until the port is taken
    from mnist_cnn.serving.champion import Champion

MAX_CONNECTIONS = 2048


def serve(host: str, port: int) -> None:
    """Serve the registry's champion until Ctrl-C.

    Without a champion, the page says what to type, and the first champion is picked up as soon as
    it is promoted.

    Args:
        host: The address to listen on: a host name or an IP address.
        port: 1 to 65535.

    Raises:
        UserError: The app cannot listen on that address.
    """
    # The app refuses such a picture itself; Pillow would also print a warning.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    allow_files(MAX_CONNECTIONS + 256)
    with _listening(host, port) as listening:
        with _silenced_stderr():
            from mnist_cnn.serving.app import create_app
            from mnist_cnn.serving.champion import Watcher

            watcher = Watcher()
            watcher.look()
        print(_welcome(watcher.champion, watcher.problem), flush=True)
        shown = f"[{host}]" if ":" in host else host
        print(f"draw a digit on http://{shown}:{port}  (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(
            create_app(watcher, host),
            http=ImpatientProtocol,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _welcome(champion: "Champion | None", problem: str | None) -> str:
    if champion is not None:
        return f"version {champion.info.version} of {champion.info.name} is the champion"
    return problem or "no champion yet; type `make search` and `make promote` elsewhere"


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Hide the start-up messages that TensorFlow writes to the file descriptor, past Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _listening(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, so that the user learns at once if it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only if the protocol is named. Otherwise a keep-alive
    # client would wait 40 ms for each response body (Nagle and delayed acknowledgements).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port, as "
            f"`make serve PORT={port + 1}`"
        ) from None
    return listening


def allow_files(wanted: int) -> None:
    """Raise the limit on open files and sockets, as far as the system permits.

    Args:
        wanted: The number of files to allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
