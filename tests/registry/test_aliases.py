"""Moves of `champion` and `previous` on a real database: killed at any time, and two at once."""

import multiprocessing
import random
import shutil
import sqlite3
import time

import alias_moves
import pytest
from mlflow.exceptions import MlflowException
from projects import copy_database

from mnist_cnn.registry import aliases, store
from mnist_cnn.registry.aliases import MOVE, Aliases, AliasesChangedError
from mnist_cnn.registry.store import MNIST_MODEL

PATIENCE_SECONDS = 60  # only a defect makes a test wait that long


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported MLflow already."""
    context = multiprocessing.get_context("forkserver")
    stores = [f"mlflow.store.{name}.sqlalchemy_store" for name in ("tracking", "model_registry")]
    context.set_forkserver_preload(["mnist_cnn.registry.aliases", *stores])
    return context


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A database in which version 1 is the champion."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    copy_database(path.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        client = store.connect()
        client.create_registered_model(MNIST_MODEL)
        alias_moves.promotion(client, aliases.current(client, MNIST_MODEL))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def uri(tmp_path, template, monkeypatch):
    shutil.copy(template, tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def client(uri):
    return store.connect()


def replaced_by(client, champion):
    return client.get_model_version(MNIST_MODEL, champion).tags["replaces"]


def test_a_promotion_makes_the_old_champion_the_previous_one(client):
    assert aliases.current(client, MNIST_MODEL) == Aliases("1", None)
    alias_moves.promotion(client, aliases.current(client, MNIST_MODEL))
    assert aliases.current(client, MNIST_MODEL) == Aliases("2", "1")
    assert client.get_registered_model(MNIST_MODEL).tags == {}


def test_a_move_that_was_killed_at_any_time_is_finished_by_the_next_process(client, uri, processes):
    """Real processes are killed; about half of the kills interrupt a move."""
    moments = random.Random(0)
    interrupted = 0
    for _ in range(8):
        ours, theirs = processes.Pipe()
        process = processes.Process(target=alias_moves.promote_forever, args=(uri, theirs))
        process.start()
        assert ours.poll(PATIENCE_SECONDS)
        time.sleep(moments.uniform(0, 2) * ours.recv())
        process.kill()
        process.join()

        found = client.get_registered_model(MNIST_MODEL)
        interrupted += MOVE in found.tags
        finished = aliases.finish(client, MNIST_MODEL)
        assert finished == ("promotion" if MOVE in found.tags else None)
        now = aliases.current(client, MNIST_MODEL)
        assert now.previous == replaced_by(client, now.champion)
        assert MOVE not in client.get_registered_model(MNIST_MODEL).tags
    assert interrupted > 0


def test_of_two_moves_decided_on_the_same_champion_one_is_refused(client, uri, processes):
    barrier, rounds = processes.Barrier(2), 8
    pipes = [processes.Pipe() for _ in range(2)]
    both = [
        processes.Process(target=alias_moves.promote_in_step, args=(uri, theirs, barrier, rounds))
        for _, theirs in pipes
    ]
    for process in both:
        process.start()
    for _ in range(rounds):
        assert all(ours.poll(PATIENCE_SECONDS) for ours, _ in pipes)
        (before, first), (seen, second) = [ours.recv() for ours, _ in pipes]
        assert before == seen
        (moved,) = [result for result in (first, second) if result is not None]
        assert moved.previous == before.champion != moved.champion
    for process in both:
        process.join()
    assert aliases.current(client, MNIST_MODEL) == moved
    # The refused process registered nothing.
    assert len(client.search_model_versions(f"name = '{MNIST_MODEL}'")) == 1 + rounds


def test_after_the_champions_version_was_deleted_there_may_be_no_previous_one(client):
    alias_moves.promotion(client, aliases.current(client, MNIST_MODEL))
    client.delete_model_version(MNIST_MODEL, "2")
    now = aliases.current(client, MNIST_MODEL)
    assert now == Aliases(None, "1")
    assert alias_moves.promotion(client, now) == Aliases("3", None)
    assert aliases.current(client, MNIST_MODEL) == Aliases("3", None)


def test_a_move_decided_on_other_aliases_changes_nothing(client):
    with pytest.raises(AliasesChangedError):
        aliases.move(client, MNIST_MODEL, Aliases("7", None), "promotion", pytest.fail)
    assert aliases.current(client, MNIST_MODEL) == Aliases("1", None)


@pytest.mark.parametrize("by_hand", ["another champion", "the version deleted"])
def test_a_change_by_hand_after_a_kill_has_precedence(client, monkeypatch, by_hand):
    now = alias_moves.promotion(client, aliases.current(client, MNIST_MODEL))
    set_alias = type(client).set_registered_model_alias
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "set_registered_model_alias", broken_connection)
        with pytest.raises(MlflowException):
            alias_moves.promotion(client, now)
    if by_hand == "another champion":
        client.create_model_version(MNIST_MODEL, "file:///nowhere")
        set_alias(client, MNIST_MODEL, "champion", "4")
    else:
        client.delete_model_version(MNIST_MODEL, "3")
    assert aliases.finish(client, MNIST_MODEL) is None
    champion = "4" if by_hand == "another champion" else "2"
    assert aliases.current(client, MNIST_MODEL) == Aliases(champion, "1")
    assert client.get_registered_model(MNIST_MODEL).tags == {}


def broken_connection(*arguments):
    raise MlflowException("the connection broke")
