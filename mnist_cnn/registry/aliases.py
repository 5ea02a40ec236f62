"""The registry's aliases `champion` and `previous`, and how they are moved.

A move changes both aliases, but MLflow cannot change two at once. So the move is first written to a
tag of the registered model, then carried out, and then the tag is removed. A kill before the tag is
written changes nothing; after a later kill, the next process finishes the move. There is a champion
at all times, and an alias or the tag always names the old one.

A file lock admits one process of this machine at a time. A move also names the aliases on which it
was decided: if they have changed since, it is refused, and the caller decides again.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from mnist_cnn.errors import UserError
from mnist_cnn.file_lock import file_lock
from mnist_cnn.registry.store import registered, versions
from mnist_cnn.tracking import tags
from mnist_cnn.urls import sqlite_file

MOVE = "move"  # the tag of the registered model that describes an unfinished move


@dataclass(frozen=True)
class Aliases:
    """The versions to which the two aliases point; None if there is no such alias."""

    champion: str | None
    previous: str | None


class AliasesChangedError(Exception):
    """Another process has moved the aliases since they were read."""


def current(client: MlflowClient, name: str) -> Aliases:
    """Return the versions of a registered model that are champion and previous now."""
    found = registered(client, name)
    if found is None:
        return Aliases(None, None)

    def number(alias: str) -> str | None:
        return str(found.aliases[alias]) if alias in found.aliases else None

    return Aliases(champion=number("champion"), previous=number("previous"))


def move(
    client: MlflowClient,
    name: str,
    expected: Aliases,
    verb: str,
    target: Callable[[], Aliases],
) -> Aliases:
    """Move the aliases to what `target` returns.

    Args:
        client: Of the registry.
        name: The name of the registered model.
        expected: The aliases on which the move was decided.
        verb: The subcommand that moves them, for `finish`.
        target: Called while no other process can move the aliases.

    Returns:
        The new aliases.

    Raises:
        AliasesChangedError: The aliases are no longer as expected; nothing was moved.
        UserError: On a server, a process of another machine moved them at the same moment.
    """
    with _registry_lock():
        _finish(client, name)
        if current(client, name) != expected:
            raise AliasesChangedError
        to = target()
        unfinished = {"by": verb, "from": asdict(expected), "to": asdict(to)}
        client.set_registered_model_tag(name, MOVE, json.dumps(unfinished))
        _finish(client, name)
        now = current(client, name)
    if now != to:  # the lock only excludes processes of this machine
        raise UserError(
            f"another {verb} at the same moment made version {now.champion} the champion"
        )
    return to


def finish(client: MlflowClient, name: str) -> str | None:
    """Finish a move that was killed half-way.

    Returns:
        The subcommand that began it; None if no move was unfinished, or the aliases have changed
        since. A tag of another program is left as it is.
    """
    with _registry_lock():
        return _finish(client, name)


def _finish(client: MlflowClient, name: str) -> str | None:
    found = registered(client, name)
    if found is None or MOVE not in found.tags:
        return None
    unfinished = tags.json_object(found.tags[MOVE])
    try:
        start, to = Aliases(**unfinished["from"]), Aliases(**unfinished["to"])
        verb = str(unfinished["by"])
    except (KeyError, TypeError):  # the tag is another program's
        return None
    # Another champion may have been set by hand, or the version deleted: that has precedence.
    valid = current(client, name).champion in (start.champion, to.champion) and any(
        str(known.version) == to.champion for known in versions(client, name)
    )
    if valid:
        if to.previous:
            client.set_registered_model_alias(name, "previous", to.previous)
        elif "previous" in found.aliases:
            client.delete_registered_model_alias(name, "previous")
        client.set_registered_model_alias(name, "champion", str(to.champion))
    client.delete_registered_model_tag(name, MOVE)
    return verb if valid else None


@contextmanager
def _registry_lock() -> Iterator[None]:
    """Hold the registry's lock. The system releases it if this process dies."""
    uri = mlflow.get_registry_uri()
    database = sqlite_file(uri)
    if database:
        path = database.with_name(f"{database.name}.lock")
    else:
        name = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"mnist-cnn-{name}.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        yield
