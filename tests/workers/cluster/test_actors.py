"""A pool of real actors on a real Ray cluster, whose calls write files: no Keras."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import ray_calls
from clusters import cluster_of

from mnist_cnn.errors import Unreachable, UsageError, UserError
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.tracking import journal
from mnist_cnn.workers.cluster.wanted import RayWanted

pytestmark = pytest.mark.compatibility

PATIENCE_SECONDS = 120  # a bound on what a defect costs


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(2) as (nodes, _):
        yield nodes


@pytest.fixture(scope="module")
def pool(cluster, tmp_path_factory):
    """Two actors, each on a node of its own; the current folder is what the nodes get."""
    from mnist_cnn.workers.cluster.actors import RayWorkers

    root, before = tmp_path_factory.mktemp("project"), Path.cwd()
    shutil.copy(ray_calls.__file__, root)
    (root / "mlruns/data").mkdir(parents=True)
    (root / "mlruns/data/images.npy").write_text("many images")
    os.chdir(root)
    try:
        with RayWorkers(RayWanted(2, address=cluster.address), root / "log") as found:
            found.share([root / "mlruns/data/images.npy"])
            until(found, lambda: found.idle == 2)
            yield found
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def left_idle(pool):
    yield
    pool.stop(pool.running)
    until(pool, lambda: pool.idle == 2)


def until(pool, condition):
    """Let the pool work until something holds; returns the calls that ended meanwhile."""
    limit, ended = time.monotonic() + PATIENCE_SECONDS, []
    while not condition():
        assert time.monotonic() < limit
        ended += pool.wait(0.2)
    return ended


def ended(pool):
    return until(pool, lambda: not pool.running)


def test_a_run_is_sent_and_what_it_writes_comes_back(pool, tmp_path):
    folder, beside = tmp_path / "trial-00007", tmp_path / "trial-00003"
    for each in (folder, beside):
        each.mkdir()
        (each / CHECKPOINT_FILE).write_text(f"of {each.name}")
    whole = b'{"event": "pause", "tags": {}}\n'
    (folder / journal.FILE_NAME).write_bytes(whole + b'{"event": "met')  # torn by a kill
    pool.submit_run(folder, partial(ray_calls.train, 3), None, [beside / CHECKPOINT_FILE])
    assert pool.running == [folder]
    (one,) = ended(pool)
    assert (one.key, one.problem, one.lost) == (folder, "", False)
    assert one.value == {
        f"trial-00007/{journal.FILE_NAME}": whole.decode(),
        f"trial-00007/{CHECKPOINT_FILE}": "of trial-00007",
        f"trial-00003/{CHECKPOINT_FILE}": "of trial-00003",
    }
    events = [event["event"] for event in journal.read(folder)[0]]
    assert events == ["pause", "begin", *["metrics"] * 3, "artifact", "end"]
    assert (folder / CHECKPOINT_FILE).read_text() == "epoch 3"
    assert {path.name for path in folder.iterdir()} == {
        *(journal.FILE_NAME, CHECKPOINT_FILE, "curves.png")
    }


def test_data_are_sent_to_each_node_once(pool, tmp_path):
    for _ in range(2):
        for name in ("a", "b"):
            pool.submit_run(tmp_path / name, ray_calls.read_shared)
        found = ended(pool)
        assert [one.value[0] for one in found] == ["many images"] * 2
        assert len({one.value[2] for one in found}) == 2  # nodes
    # All nodes are this machine and share a folder, so the file was written once for both.
    assert len({one.value[1] for one in found}) == 1


def test_a_process_that_dies_and_a_refusal_are_told_as_on_one_machine(pool, tmp_path):
    pool.submit_run(tmp_path / "died", ray_calls.die)
    pool.submit_run(tmp_path / "refused", ray_calls.refuse)
    found = {one.key.name: one for one in ended(pool)}
    assert found["died"].problem == "its process was killed by SIGKILL (out of memory?)"
    assert not found["died"].lost
    assert (found["refused"].refused, found["refused"].problem) == (
        UsageError,
        "no such experiment",
    )
    pool.submit_run(tmp_path / "away", ray_calls.be_away)
    assert [one.refused for one in ended(pool)] == [Unreachable]


def test_a_call_past_its_time_limit_is_killed(pool, tmp_path):
    pool.submit_run(tmp_path / "run", ray_calls.hang, 0.5)
    assert [one.overdue for one in ended(pool)] == [True]


def test_a_stopped_call_is_dead_when_that_returns(pool, tmp_path):
    process = hanging(pool, tmp_path / "run")
    pool.stop(pool.running)
    assert not process.is_running() and pool.idle == 2 and pool.wait(0) == []


def test_a_killed_actor_is_replaced_and_its_call_known_to_be_dead(pool, tmp_path):
    process = hanging(pool, tmp_path / "run")
    process.parent().kill()
    (one,) = ended(pool)
    assert (one.problem, one.lost) == ("its actor died", False)
    process.wait(10)  # it dies with its actor


def test_an_actor_that_answers_with_an_error_is_no_node_that_is_gone(pool, tmp_path):
    pool.submit_run(tmp_path / "run", hanging)  # of this module, which no node has
    (one,) = ended(pool)
    assert "its actor failed" in one.problem and not one.lost


def test_actors_that_cannot_start_end_no_search_while_others_work(pool):
    import ray

    from mnist_cnn.workers.cluster.actors import FALSE_STARTS

    pool.take_remarks()
    pool._actors.append(pool._start(3))  # there is no room for it
    try:
        for pause in (1, 2, 4, 8, 16, 30, 30):
            actor = pool._actors[-1]
            pool._died(actor, "its actor died", known=True)
            pool.wait(0)
            assert pool._actors[-1] is actor and actor.pause_seconds == pause
            actor.replace_at = 0.0
            pool.wait(0)
            assert pool._actors[-1] is not actor
        assert pool._false_starts > FALSE_STARTS
        (line,) = pool.take_remarks()
        assert line.startswith("a worker cannot start: its actor died; ")
        for actor in pool._actors[:-1]:
            actor.node, actor.was = "", actor.node
        with pytest.raises(UserError, match="workers cannot start on the Ray cluster: no disk"):
            pool._died(pool._actors[-1], "no disk", known=True)
    finally:
        for actor in pool._actors[:-1]:
            actor.node = actor.was
        extra = pool._actors.pop()
        pool._questions.forget(extra, ("node",))
        ray.kill(extra.handle)


def test_a_node_that_is_gone_loses_its_call_and_one_that_joins_gets_the_next(
    pool, cluster, tmp_path
):
    hanging(pool, tmp_path / "run")
    name = (tmp_path / "run" / CHECKPOINT_FILE).read_text().split()[0].rpartition("/")[2]
    (node,) = (each for each in cluster.others() if each.node_id.startswith(name))
    cluster.remove(node)
    (one,) = ended(pool)
    assert (one.problem, one.lost) == ("its node does not answer", True)
    assert pool.idle == 1
    cluster.add()  # and `left_idle` waits for the second actor to be there


def hanging(pool, folder):
    """A call that hangs; returns its process."""
    pool.submit_run(folder, ray_calls.hang)
    checkpoint = folder / CHECKPOINT_FILE
    until(pool, checkpoint.exists)
    return psutil.Process(int(checkpoint.read_text().split()[1]))


def test_what_cannot_be_had_is_refused_before_anything_starts(pool, cluster):
    from mnist_cnn.workers.cluster import joining

    nodes = [{"Resources": {"CPU": 2.0}}, {"Resources": {"CPU": 4.0, "GPU": 1.0}}]
    line = joining.too_much(1, 2, nodes)
    assert "no node of the Ray cluster has 1 CPU and 2 GPUs" in line
    assert "the largest has 4 CPUs and 1 GPU;" in line
    with pytest.raises(UserError, match="joined a Ray cluster already"):
        joining.join(RayWanted(1, address=cluster.address))


def test_a_signal_of_the_terminal_does_not_reach_an_actors_process(pool, tmp_path):
    process = hanging(pool, tmp_path / "run")
    process.send_signal(signal.SIGINT)
    pool.wait(1)
    assert process.is_running()
