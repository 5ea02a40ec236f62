"""The lock of a study: one search at a time holds it, and the system releases it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from postgres import PASSWORD, Postgres

from mnist_cnn import cli
from mnist_cnn.errors import UserError
from mnist_cnn.study.lock import StudyLock, StudyLocked
from mnist_cnn.study.storage import disk_of, open_storage

HOLDER = """
import sys
from mnist_cnn.study.lock import StudyLock
with StudyLock(sys.argv[1], "tiny-1"):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.fixture
def holder(storage):
    """Another process that holds the lock of the study."""
    command = [sys.executable, "-c", HOLDER, storage]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_study_that_another_search_holds_is_refused_with_its_name(storage, holder):
    with pytest.raises(StudyLocked, match="another search is running on tiny-1"):
        StudyLock(storage, "tiny-1").__enter__()
    with StudyLock(storage, "tiny-2") as lock:
        assert lock.held()


def test_a_suspended_search_still_holds_its_study(storage, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(StudyLocked):
        StudyLock(storage, "tiny-1").__enter__()


def test_a_search_that_was_killed_leaves_its_study_at_once(storage, holder):
    holder.kill()
    holder.wait()
    with StudyLock(storage, "tiny-1") as lock:
        assert lock.held()


def test_who_looks_whether_a_study_is_searched_refuses_no_search(storage):
    look_and_search(storage)


def look_and_search(url):
    """Look twice at once, and begin a search before the second look has ended."""
    with ExitStack() as looking:
        looking.enter_context(StudyLock(url, "tiny-1", shared=True))
        with StudyLock(url, "tiny-1", shared=True):
            threading.Timer(0.2, looking.close).start()
        with StudyLock(url, "tiny-1") as lock:
            assert lock.held()
            with pytest.raises(StudyLocked):
                StudyLock(url, "tiny-1", shared=True).__enter__()


# In PostgreSQL


@pytest.fixture(scope="module")
def server():
    with Postgres() as server:
        yield server


def cut_off(url):
    """End all other connections to a database. Return how many there were."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    query = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar()


def test_in_postgresql_one_holds_a_study_until_it_leaves(server):
    url = server.new_database()
    with StudyLock(url, "tiny-1") as lock:
        assert lock.held()
        with pytest.raises(StudyLocked, match="another search is running on tiny-1"):
            StudyLock(url, "tiny-1").__enter__()
        with StudyLock(url, "tiny-2") as other:
            assert other.held() and lock.held()
    with StudyLock(url, "tiny-1") as lock:
        assert lock.held()


def test_in_postgresql_who_looks_whether_a_study_is_searched_refuses_no_search(server):
    look_and_search(server.new_database())


def test_in_postgresql_a_lost_lock_is_taken_again_when_the_server_is_back(server):
    with StudyLock(server.new_database(), "tiny-1") as lock:
        server.pg_ctl("stop", "-m", "fast")
        assert not lock.held()
        assert not lock.held()
        server.pg_ctl("start")
        assert lock.held()
        with pytest.raises(StudyLocked):
            StudyLock(lock._storage, "tiny-1").__enter__()


def test_in_postgresql_a_study_that_another_took_meanwhile_is_never_written_again(server):
    url = server.new_database()
    with StudyLock(url, "tiny-1") as lock:
        assert cut_off(url) == 1
        with StudyLock(url, "tiny-1"), pytest.raises(StudyLocked):
            lock.held()
        # The other search has written to the study and released the lock.
        with pytest.raises(StudyLocked):
            lock.held()


def test_in_postgresql_a_server_that_vanishes_does_not_block_a_search(server):
    url = server.new_database()
    with StudyLock(url, "tiny-1") as lock, open_storage(url).engine.connect() as connection:
        for each in (lock._connection, connection):
            number = each.connection.driver_connection.fileno()
            with socket.socket(fileno=os.dup(number)) as used:
                assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
                assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    own = f"{url}?keepalives_idle=99&connect_timeout=7"
    with StudyLock(own, "tiny-1") as lock:
        given = lock._connection.connection.driver_connection.info.get_parameters()
    assert (given["keepalives_idle"], given["connect_timeout"]) == ("99", "7")
    assert given["tcp_user_timeout"] == "30000"


def test_in_postgresql_the_lock_of_a_broken_connection_is_waited_for(server):
    with StudyLock(server.new_database(), "tiny-1") as lock:
        # The socket stays open, so the server does not notice that nobody uses it any more.
        number = lock._connection.connection.driver_connection.fileno()
        still_open = os.dup(number)
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), number)
        assert not lock.held()
        assert not lock.held()
        os.close(still_open)
        while not lock.held():  # until the server has noticed
            time.sleep(0.1)


def test_a_postgresql_server_that_is_away_is_one_line_without_the_password(server):
    url = server.new_database()
    server.pg_ctl("stop", "-m", "fast")
    try:
        with pytest.raises(UserError, match="storage failed") as refusal:
            StudyLock(url, "tiny-1").__enter__()
    finally:
        server.pg_ctl("start")
    assert len(str(refusal.value).splitlines()) == 1 and PASSWORD not in str(refusal.value)


@pytest.mark.parametrize("command", ["trials tiny", "studies", "delete tiny-1"])
def test_a_postgresql_server_that_goes_away_meanwhile_is_one_line(
    server, command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    url = server.new_database()
    optuna.create_study(study_name="tiny-1", storage=open_storage(url))
    server.pg_ctl("stop", "-m", "fast")
    try:
        with pytest.raises(SystemExit) as end:
            cli.main([*command.split(), "--storage", url])
    finally:
        server.pg_ctl("start")
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1 and "Optuna's storage does not answer: " in line
    assert PASSWORD not in line


MOUNTS = r"""/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local ext4 rw 0 0
//server/share /mnt/with\040blank cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/optuna.db", "ext4"),
        ("/home/me/mlruns/optuna.db", "nfs4"),
        ("/home/local/optuna.db", "ext4"),
        ("/home/locale/optuna.db", "nfs4"),
        ("/mnt/with blank/optuna.db", "cifs"),
    ],
)
def test_the_nearest_mount_decides_the_type_of_disk(path, kind):
    assert disk_of(Path(path), MOUNTS) == kind
