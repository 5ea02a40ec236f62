"""What `test_aliases` runs in separate processes."""

import itertools
import os
import time

from mnist_cnn.registry import aliases, store
from mnist_cnn.registry.aliases import Aliases, AliasesChangedError
from mnist_cnn.registry.store import MNIST_MODEL


def promotion(client, now):
    """Register a version with a tag for the one that it replaces, and make it the champion."""

    def target():
        version = client.create_model_version(
            MNIST_MODEL, "file:///nowhere", tags={"replaces": str(now.champion)}
        )
        return Aliases(champion=str(version.version), previous=now.champion)

    return aliases.move(client, MNIST_MODEL, now, "promotion", target)


def connected(uri):
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return store.connect()


def promote_forever(uri, connection):
    """Promote version after version until this process is killed; send how long each takes."""
    client = connected(uri)
    promotion(client, aliases.current(client, MNIST_MODEL))
    for _ in itertools.count():
        started = time.monotonic()
        promotion(client, aliases.current(client, MNIST_MODEL))
        connection.send(time.monotonic() - started)


def promote_in_step(uri, connection, barrier, rounds):
    """Decide and move at the same moments as another process; send the decision and the result."""
    client = connected(uri)
    for _ in range(rounds):
        barrier.wait()
        now = aliases.current(client, MNIST_MODEL)
        barrier.wait()
        try:
            connection.send((now, promotion(client, now)))
        except AliasesChangedError:
            connection.send((now, None))
