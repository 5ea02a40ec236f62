"""An actor's copy of the project, and calls that are stopped before they have begun: no cluster."""

import asyncio
import shutil
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from filelock import FileLock  # Ray's
from ray._private.runtime_env import packaging

from mnist_cnn.file_lock import TICK_SECONDS, file_lock
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.workers.cluster.copies import (
    _lock_of,
    copy_project,
    current_folder,
    remove_left,
)
from mnist_cnn.workers.cluster.news import News
from mnist_cnn.workers.cluster.node import Node


def test_a_project_that_ray_unpacks_anew_meanwhile_is_copied_whole(tmp_path):
    """As when another node of this machine joins: the folder goes, and fills again."""
    source, names = tmp_path / "_ray_pkg_1", [f"{number:03d}.py" for number in range(60)]
    begun = threading.Event()

    def unpack():
        with FileLock(f"{source}.zip.lock"):
            shutil.rmtree(source)
            source.mkdir()
            for name in names:
                (source / name).touch()
                if name == names[30]:
                    begun.set()
                    time.sleep(1)  # longer than Ray's processes usually pause

    source.mkdir()
    unpacking = threading.Thread(target=unpack)
    unpacking.start()
    begun.wait()
    try:
        copy_project(source, tmp_path / "copy")
    finally:
        unpacking.join()
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == names


def test_ray_removes_no_project_while_it_is_copied(tmp_path):
    """Ray's own function, to see that its lock has this name in the installed version."""
    source = tmp_path / "_ray_pkg_1"
    source.mkdir()
    removing = threading.Thread(
        target=packaging.delete_package, args=("gcs://_ray_pkg_1.zip", str(tmp_path))
    )
    with file_lock(_lock_of(source)):
        removing.start()
        time.sleep(0.3)
        assert source.is_dir()
    removing.join(20)
    assert not source.exists()


def test_a_project_that_is_gone_is_told(tmp_path):
    with pytest.raises(OSError, match=r"Ray has removed .*unpacked"):
        copy_project(tmp_path / "unpacked", tmp_path / "copy", 0.0)


def test_an_actor_that_cannot_start_leaves_no_copy_of_the_project(tmp_path, monkeypatch):
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    (unpacked / "mlruns").touch()  # so that there can be no folder of this name
    monkeypatch.chdir(unpacked)
    context = SimpleNamespace(get_job_id=lambda: "01")
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    with pytest.raises(FileExistsError):
        Node({"NPROC": "1"}, None, "1-1")
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {"unpacked"}


class Submitted:
    """A pool that notes what it is given."""

    def __init__(self):
        self.running = []

    def submit(self, key, call, limit_seconds):
        self.running.append(key)

    def stop(self, keys):
        self.running = []

    def wait(self, seconds):
        return []


@pytest.fixture
def node(tmp_path):
    """An actor without Ray, whose pool is not real."""
    found = Node.__new__(Node)
    found._home, found._data, found._place = (tmp_path / name for name in ("a", "data", "a/w"))
    found._attempt = found._stopped = 0
    found._checkpoint_seconds = 0.0
    found._beginning = asyncio.Lock()
    found.__dict__["_pool"] = Submitted()
    return found


def test_an_actor_whose_process_cannot_start_leaves_no_copy_either(node, monkeypatch):
    def fail(seconds):
        raise OSError("no disk")

    node._home.mkdir()
    monkeypatch.setattr(node._pool, "wait", fail)
    with pytest.raises(OSError, match="no disk"):
        asyncio.run(node.node())
    assert not node._home.exists()


def begin(node, data):
    return asyncio.ensure_future(node.begin(1, "run", print, None, {}, {"images.npy": [data]}))


def test_a_call_that_is_stopped_while_its_data_come_does_not_begin(node):
    async def stop_early():
        data = asyncio.get_running_loop().create_future()
        beginning = begin(node, data)
        await asyncio.sleep(0)
        await node.stop(1)
        data.set_result(b"many images")
        await beginning

    asyncio.run(stop_early())
    assert node._pool.running == []


def test_a_call_that_is_stopped_before_its_request_has_arrived_does_not_begin(node):
    """Ray delivers requests of an actor in any order, such as when one carries a checkpoint."""

    async def stop_first():
        await node.stop(1)
        await node.begin(1, "stopped", print, None, {}, {})
        await node.begin(3, "run", print, None, {"run/a": b"1"}, {})
        await node.begin(2, "late", print, None, {}, {})

    asyncio.run(stop_first())
    assert node._pool.running == ["run"]
    assert (node._place / "runs/run/a").read_bytes() == b"1"


def test_a_call_that_is_asked_for_twice_begins_once(node):
    async def ask_twice():
        data = asyncio.get_running_loop().create_future()
        both = [begin(node, data), begin(node, data)]
        await asyncio.sleep(0)
        data.set_result(b"many images")
        await asyncio.gather(*both)

    asyncio.run(ask_twice())
    assert node._pool.running == ["run"]
    assert (node._home / "images.npy").read_bytes() == b"many images"


def test_an_actor_answers_while_another_one_fetches_the_data(node):
    """And it does not fetch them too."""
    file = node._data / "images.npy"

    async def wait_for_the_other():
        never = asyncio.get_running_loop().create_future()
        with file_lock(file.with_name(f"{file.name}.lock")):
            beginning = begin(node, never)
            await asyncio.sleep(2 * TICK_SECONDS)
            await node.stop(0)
            file.write_bytes(b"many images")
        await asyncio.wait_for(beginning, 20)

    file.parent.mkdir()
    asyncio.run(asyncio.wait_for(wait_for_the_other(), 30))
    assert node._pool.running == ["run"]


def test_data_are_fetched_piece_by_piece(node):
    file, written = node._data / "images.npy", []

    class Piece:
        def __init__(self, content):
            self._content = content

        def __await__(self):
            written.append([part.stat().st_size for part in file.parent.glob("*.part*")])
            yield
            return self._content

    pieces = [Piece(b"many " * 10_000), Piece(b"images")]
    asyncio.run(node.begin(1, "run", print, None, {}, {"images.npy": pieces}))
    assert written == [[0], [50_000]]
    assert (node._home / "images.npy").read_bytes() == b"many " * 10_000 + b"images"


def test_a_question_about_a_call_that_was_stopped_takes_no_news_of_the_next(node):
    """The search has forgotten it, so a checkpoint that it took would be sent again much later."""

    async def stop_and_begin():
        await node.begin(1, "run", print, None, {}, {})
        stale = asyncio.ensure_future(node.news(1, 0, 0, 60.0))
        await asyncio.sleep(0)
        await node.stop(1)
        await node.begin(2, "run", print, None, {}, {})
        folder = node._place / "runs/run"
        Journal(folder).write("begin", name="a run", tags={}, worker="1")
        (folder / CHECKPOINT_FILE).write_bytes(b"epoch 1")
        late = await node.news(1, 0, 0, 60.0)  # it arrives only now
        return await stale, late, await node.news(2, 0, 0, 60.0)

    stale, late, news = asyncio.run(stop_and_begin())
    assert stale == late == News()
    assert news.files[CHECKPOINT_FILE] == b"epoch 1"


def test_an_actor_that_has_left_starts_no_process_for_a_late_question(node, monkeypatch):
    async def leave_and_be_asked():
        await node.begin(1, "run", print, None, {}, {})
        asked = asyncio.ensure_future(node.news(1, 0, 0, 60.0))
        await asyncio.sleep(0)
        await node.leave()
        node._pool.wait = fail
        await node.stop(1)
        return await asked

    def fail(seconds):
        raise AssertionError("a process was started")

    monkeypatch.setattr(Submitted, "__exit__", lambda self: None, raising=False)
    assert asyncio.run(leave_and_be_asked()) == News()
    assert not node._home.exists()


def test_what_killed_actors_have_left_is_removed_by_the_next_one(tmp_path):
    for name in ("mnist-cnn-01-1-1", "mnist-cnn-01-data", "mnist-cnn-02-1-1", "unpacked"):
        (tmp_path / name).mkdir()
    (tmp_path / "mnist-cnn-01.lock").touch()
    with file_lock(tmp_path / "mnist-cnn-02.lock", shared=True):
        remove_left(tmp_path)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"mnist-cnn-02-1-1", "unpacked"}


def test_a_folder_that_ray_has_replaced_is_found_again(tmp_path, monkeypatch):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    folder.rmdir()
    folder.mkdir()
    assert current_folder() == folder
