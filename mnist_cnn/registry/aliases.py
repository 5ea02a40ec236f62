"""The registry's aliases `champion` and `previous`, and how they are moved.

A move changes both aliases, and MLflow has no way to change two at once. So what is to become true
is first written into one tag of the registered model, then done, then the tag is removed. A kill
before the tag is written has moved nothing; after it, whoever comes next finishes the move. At no
time is there no champion, nor is the old one without an alias or the tag.

Two moves at once: a file lock lets one process of this machine in after the other, and a move names
the aliases that it was decided on: if they are others by now, it is refused and decided again.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from mnist_cnn.errors import UserError
from mnist_cnn.registry.store import REGISTERED_NAME, registered, sqlite_file

MOVE = "move"  # the tag of the registered model that says what is to become true


@dataclass(frozen=True)
class Aliases:
    """The versions that the two aliases stand for; None where there is no such alias."""

    champion: str | None
    previous: str | None


class AliasesChangedError(Exception):
    """Another process moved the aliases since this one looked."""


def current(client: MlflowClient) -> Aliases:
    """Which versions are champion and previous now."""
    found = registered(client)
    known = found.aliases if found else {}
    return Aliases(*(str(known[a]) if a in known else None for a in ("champion", "previous")))


def move(
    client: MlflowClient, expected: Aliases, by: str, target: Callable[[], Aliases]
) -> Aliases:
    """Move the aliases to what `target` gives, called when nobody else can move them.

    expected: the aliases that the move was decided on. by: the verb, for `finish`.

    Raises AliasesChangedError if they are others by now; nothing is moved then.
    """
    with _alone():
        _finish(client)
        if current(client) != expected:
            raise AliasesChangedError
        to = target()
        move = {"by": by, "from": asdict(expected), "to": asdict(to)}
        client.set_registered_model_tag(REGISTERED_NAME, MOVE, json.dumps(move))
        _finish(client)
        found = current(client)
    if found != to:  # on a server, where the lock of this machine holds off nobody else
        raise UserError(
            f"another {by} at the same moment made version {found.champion} the champion"
        )
    return to


def finish(client: MlflowClient) -> str | None:
    """Finish a move that was killed half-way; returns the verb that began it, None without one."""
    with _alone():
        return _finish(client)


def _finish(client: MlflowClient) -> str | None:
    found = registered(client)
    if found is None or MOVE not in found.tags:
        return None
    begun = json.loads(found.tags[MOVE])
    now, by = current(client), str(begun["by"])
    start, to = Aliases(**begun["from"]), Aliases(**begun["to"])
    # If somebody set another champion by hand meanwhile, or deleted the version, that counts.
    if now.champion in (start.champion, to.champion) and _exists(client, to.champion):
        if to.previous:
            client.set_registered_model_alias(REGISTERED_NAME, "previous", to.previous)
        client.set_registered_model_alias(REGISTERED_NAME, "champion", str(to.champion))
    else:
        by = ""
    client.delete_registered_model_tag(REGISTERED_NAME, MOVE)
    return by or None


def _exists(client: MlflowClient, number: str | None) -> bool:
    return any(
        str(made.version) == number
        for made in client.search_model_versions(f"name = '{REGISTERED_NAME}'")
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the registry; the system gives it free if this process dies."""
    uri = mlflow.get_registry_uri()
    database = sqlite_file(uri)
    if database:
        path = database.with_name(f"{database.name}.lock")
    else:
        name = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"mnist-cnn-{name}.lock"
    try:
        file = path.open("a")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
