"""A storage that cannot be reached: who is told what, and when the next try is."""

import os
import signal

import pytest

from mnist_cnn.errors import Unreachable, UserError
from mnist_cnn.optuna_internals import storage_at
from mnist_cnn.study.outage import TRIES, Outage
from mnist_cnn.study.proxy import storage_proxy
from mnist_cnn.study.storage import StorageError, open_storage, storage_failed, storage_of_worker


def test_each_failed_try_is_followed_by_a_longer_wait(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    outage, waits = Outage(), []
    for _ in range(7):
        assert outage.begin("gone").startswith("gone; the trial waits, next try in ")
        assert outage.begin("gone") == ""  # of the other workers, at the same time
        waits.append(outage.seconds)
        now[0] += outage.seconds
        assert not outage.lasts
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    outage.end()
    outage.begin("gone")
    assert outage.seconds == 1


def test_a_problem_that_lasts_is_not_tried_for_ever(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    outage = Outage()
    for _ in range(TRIES):
        outage.begin("no route")
        now[0] += outage.seconds
    with pytest.raises(UserError, match="no route; 20 tries in a row"):
        outage.begin("no route")


def test_a_served_storage_is_the_studys_and_dies_with_its_block(storage):
    open_storage(storage).create_new_study([1], "one")
    with storage_proxy(storage, "127.0.0.1") as proxy:
        served = storage_of_worker(proxy.serve())
        assert served.get_study_id_from_name("one") == 1
        os.kill(proxy._process.pid, signal.SIGINT)  # as Ctrl-C reaches it
        proxy._process.join(1)
        assert served.get_study_id_from_name("one") == 1
        proxy.close()  # as when it is killed
        with pytest.raises(StorageError) as failure:
            served.get_study_id_from_name("one")
        assert isinstance(storage_failed(failure.value), Unreachable)
        before = proxy.serve()
        assert storage_of_worker(before).get_study_id_from_name("one") == 1
        proxy.close()
        proxy._storage = "sqlite:////nowhere/optuna.db"  # as while a server is unavailable
        with pytest.raises(Unreachable, match=r"cannot be served to workers on 127\.0\.0\.1"):
            proxy.serve()
    with pytest.raises(StorageError):
        storage_at("127.0.0.1", int(before.rpartition(":")[2])).get_study_id_from_name("one")


def test_workers_of_this_machine_need_no_proxy(storage):
    with storage_proxy(storage, None) as proxy:
        assert proxy.serve() == storage
