"""Starts the web app: takes the port, loads the champion, runs uvicorn."""

import errno
import ipaddress
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

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.keras_backend import check_backend
from mnist_cnn.serving.connections import Connection

if TYPE_CHECKING:  # it imports TensorFlow, which waits until the port is taken
    from mnist_cnn.serving.champion import Champion

TOKEN_VARIABLE = "MNIST_CNN_TOKEN"
MAX_CONNECTIONS = 2048
BACKLOG = 2048  # connections that wait in the kernel
# asyncio accepts this many connections before it runs anything else. A connection over the limit is
# closed four rounds later.
ACCEPTED_AT_ONCE = 16
OTHER_FILES = 96 + 5 * ACCEPTED_AT_ONCE  # the registry, static files, connections over the limit
BUFFER_BYTES = 2**16
UNDELIVERED_SECONDS = 20.0


def serve(host: str, port: int, token: str | None = None, model_name: str | None = None) -> None:
    """Serve a champion of the registry until Ctrl-C.

    Without a champion, the page says what to type, and the first champion is picked up as soon as
    it is promoted.

    Args:
        host: The address to listen on: a host name or an IP address.
        port: 1 to 65535.
        token: What clients must send; None takes the environment variable MNIST_CNN_TOKEN, and
            without it admits everybody.
        model_name: The registered model, see `registry.store.choose`.

    Raises:
        UsageError: The host is empty, the token is or cannot be sent in a header, or the model has
            no champion.
        UserError: The app cannot listen on that address, or Keras has a backend that is not
            supported.
    """
    token = _checked_token(token)
    check_backend()
    # Pillow would print a line for each oddity of a picture. The client gets the one that matters.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    files = allow_files(MAX_CONNECTIONS + OTHER_FILES)
    connections = min(MAX_CONNECTIONS, max(16, files - OTHER_FILES))
    with _listening(host, port) as listening:
        with silenced_stderr():
            from mnist_cnn.serving.app import create_app
            from mnist_cnn.serving.champion import Watcher, check_model_name

            check_model_name(model_name)
            watcher = Watcher(model_name)
            watcher.look()
        print(_welcome(watcher.champion, watcher.problem), flush=True)
        for line in _access(listening, token):
            print(line, flush=True)
        shown = f"[{host}]" if ":" in host else host
        champion = watcher.champion
        drawn = champion is None or champion.info.like_mnist
        verb = "draw a digit on" if drawn else "show it pictures on"
        print(f"{verb} http://{shown}:{port}  (Ctrl-C stops it)", flush=True)
        config = uvicorn.Config(
            create_app(watcher, host, token),
            http=Connection,
            ws="none",
            loop="asyncio",  # `Connection` is not tested with another one
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=connections,
            backlog=ACCEPTED_AT_ONCE,
            timeout_graceful_shutdown=3,
        )
        _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(BACKLOG)  # asyncio has set it to ACCEPTED_AT_ONCE


def _welcome(champion: "Champion | None", problem: str | None) -> str:
    if champion is not None:
        return f"version {champion.info.version} of {champion.info.name} is the champion"
    return problem or "no champion yet; type `make search` and `make promote` elsewhere"


def _checked_token(option: str | None) -> str | None:
    """The token of the option or the environment. Messages name the place, never the token."""
    place, token = "--token", option
    if token is None:
        place, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if not token:
        raise UsageError(
            f"{place} is empty; set it to a text that is hard to guess, or leave it out"
        )
    if not all("!" <= character <= "~" for character in token):
        raise UsageError(f"{place} may only have ASCII letters, digits and punctuation, no spaces")
    return token


def _access(listening: socket.socket, token: str | None) -> list[str]:
    """Messages about who can reach the app."""
    is_local = ipaddress.ip_address(listening.getsockname()[0]).is_loopback
    lines = []
    if token is not None:
        lines.append("a browser asks for the token; programs send `Authorization: Bearer TOKEN`")
    if not is_local and token is None:
        lines.append(
            "warning: everybody in the network can use this app, without login or encryption; "
            f"set {TOKEN_VARIABLE} or --token to ask for a token"
        )
    if not is_local and token is not None:
        lines.append("warning: there is no encryption; others in the network may read the token")
    return lines


@contextmanager
def silenced_stderr() -> Iterator[None]:
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
    if not host:  # the system would take it for 0.0.0.0
        raise UsageError("--host is empty; choose 127.0.0.1, or 0.0.0.0 for all the network")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only if the protocol is named. Otherwise a keep-alive
    # client would wait 40 ms for each response body (Nagle and delayed acknowledgements).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit these. By default a client that does not read would hold megabytes in the
    # kernel, and for ever: closing the connection does not end the attempts to deliver them.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = int(1000 * UNDELIVERED_SECONDS)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    try:
        listening.bind((host, port))
    except (OSError, UnicodeError) as error:  # UnicodeError: not a host name
        listening.close()
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise UserError(
            f"cannot listen on {host}:{port}: {reason}; {_advice(error, port)}"
        ) from None
    return listening


def _advice(error: Exception, port: int) -> str:
    """What to type if the app cannot listen on an address."""
    if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES):
        other = port + 1 if 1024 <= port < 65535 else 8000
        return f"choose another port, as `make serve PORT={other}`"
    return "choose an address of this machine, as `--host 127.0.0.1` or `--host 0.0.0.0`"


def allow_files(wanted: int) -> int:
    """Raise the limit on open files and sockets, as far as the system permits.

    Args:
        wanted: The number of files to allow.

    Returns:
        The number that is allowed now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
