"""The calls that the actors of test_actors.py make. A copy of this file is sent to the nodes."""

import os
import signal
import time
from pathlib import Path

from mnist_cnn.errors import Unreachable, UsageError
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.tracking.journal import Journal


def train(epochs, folder):
    """Write what a training writes. Return what was there before it."""
    beside = folder.parent.rglob("*")
    found = {str(p.relative_to(folder.parent)): p.read_text() for p in beside if p.is_file()}
    journal = Journal(folder)
    journal.write("begin", name="a run", tags={}, worker=os.environ["MNIST_CNN_WORKER"])
    for epoch in range(1, epochs + 1):
        (folder / CHECKPOINT_FILE).write_text(f"epoch {epoch}")
        journal.metrics(epoch, {"loss": 1 / epoch})
    (folder / "curves.png").write_text("a picture")
    (folder / "curves.part.png").write_text("half of one")
    journal.write("artifact", path="curves.png")
    journal.write("end", status="FINISHED", tags={}, step=epochs, metrics={})
    return found


def hang(folder):
    """Begin, and never end."""
    Journal(folder).write("begin", name="a run", tags={}, worker="1")
    (folder / CHECKPOINT_FILE).write_text(f"{os.environ['MNIST_CNN_NODE']} {os.getpid()}")
    time.sleep(600)


def die(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(folder):
    raise UsageError("no such experiment")


def be_away(folder):
    raise Unreachable("no answer")


def read_shared(folder):
    path = Path("mlruns/data/images.npy")
    return path.read_text(), path.stat().st_mtime_ns, os.environ["MNIST_CNN_NODE"]
