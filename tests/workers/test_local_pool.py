"""Real worker processes that answer, refuse, die, hang, and lose their parent."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
import worker_calls
from projects import ROOT

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.workers.local_pool import Workers
from mnist_cnn.workers.pool import CallLost, Ended
from mnist_cnn.workers.signals import STOPPING

PATIENCE_SECONDS = 30  # a bound on what a defect costs; nothing here waits that long


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("workers") / "log"


@pytest.fixture(scope="module")
def workers(log):
    """Two processes for all tests. Those that a test kills are replaced."""
    with Workers([{"SEEN_AT_IMPORT": place} for place in ("first", "second")], log) as pool:
        yield pool


@pytest.fixture(autouse=True)
def left_idle(workers):
    yield
    workers.stop(workers.running)
    assert workers.idle == 2


def test_a_call_returns_its_value_under_its_key(workers):
    workers.submit(("trial", 3), partial(worker_calls.add, 2, b=3))
    assert workers.running == [("trial", 3)] and workers.idle == 1
    assert next_ended(workers) == [Ended(("trial", 3), value=5)]
    assert workers.running == [] and workers.idle == 2


def test_calls_run_side_by_side_in_processes_of_their_own(workers):
    for key in ("a", "b"):
        workers.submit(key, worker_calls.process_id)
    ended = all_ended(workers)
    assert {one.key for one in ended} == {"a", "b"}
    assert len({one.value for one in ended} | {os.getpid()}) == 3


def test_no_more_calls_are_taken_than_there_are_processes(workers):
    for key in ("a", "b"):
        workers.submit(key, partial(time.sleep, 600))
    with pytest.raises(RuntimeError, match="every process already has a call"):
        workers.submit("c", worker_calls.process_id)


def test_preparation_comes_before_the_first_call_and_counts_for_no_limit(log):
    with Workers([{}], log, prepare=worker_calls.mark) as pool:
        assert pool.call(worker_calls.prepared, limit_seconds=0.4) == "yes"
        pool.submit("a", partial(time.sleep, 600), limit_seconds=0.01)
        assert next_ended(pool)[0].overdue
        assert pool.call(worker_calls.prepared, limit_seconds=0.4) == "yes"  # in the new process


def test_a_process_that_could_not_prepare_still_answers(log):
    with Workers([{}], log, prepare=worker_calls.fail_to_prepare) as pool:
        assert pool.call(partial(worker_calls.add, 1, 1)) == 2


class Late:
    """A connection whose first message arrives just after the first poll."""

    def __init__(self, connection):
        self.connection, self.looks = connection, 0

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def poll(self):
        self.looks += 1
        if self.looks == 1:
            return False
        return self.connection.poll(PATIENCE_SECONDS if self.looks == 2 else 0)


def test_a_process_that_becomes_ready_between_two_polls_has_not_answered(log):
    with Workers([{}], log) as pool:
        pool._workers[0].connection = Late(pool._workers[0].connection)
        assert pool.call(partial(worker_calls.add, 1, 1)) == 2


def test_the_first_process_starts_at_once_and_the_others_with_the_first_call(log):
    with Workers([{}, {}], log) as pool:
        (first,) = pool._workers
        assert first.process.is_alive() and pool.idle == 2
        pool.submit("a", worker_calls.process_id)
        assert len(pool._workers) == 2 and pool.idle == 1
        assert next_ended(pool) == [Ended("a", value=first.process.pid)]


def test_more_processes_than_the_system_allows_are_refused_with_a_smaller_number(log):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Workers([{}] * 8, log) as pool:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))  # for files that open from now
        try:
            with pytest.raises(UserError) as refusal:
                pool.submit("a", worker_calls.process_id)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert str(refusal.value) == (
            "cannot start worker 2 of 8: Too many open files; use fewer, such as WORKERS=1 or "
            "--workers 1, or raise the limits that `ulimit -a` shows"
        )


def test_the_callers_script_is_not_run_again(log, tmp_path):
    """Though it starts processes as it is run, without `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('begun', flush=True)\n"
        "import os, sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "import __main__, worker_calls\n"
        "from mnist_cnn.workers.local_pool import Workers\n"
        f"with Workers([{{}}], Path({str(log)!r})) as pool:\n"
        "    print(pool.call(worker_calls.process_id) != os.getpid())\n"
        "print(sys.modules['__main__'] is __main__)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "begun\nTrue\nTrue\n" and done.stderr == ""


def test_a_process_whose_start_is_interrupted_ends(log, monkeypatch):
    started = []

    def start(process):
        begin(process)
        started.append(process)
        raise KeyboardInterrupt

    begin = SpawnProcess.start
    monkeypatch.setattr(SpawnProcess, "start", start)
    # Whoever keeps the error, as a notebook does, keeps the frames that hold the connection.
    with pytest.raises(KeyboardInterrupt) as kept:
        Workers([{}], log)
    started[0].join(PATIENCE_SECONDS)
    ended = not started[0].is_alive()
    started[0].kill()  # it ignores the signal by which Python would end it
    assert ended and kept


def test_an_answer_to_a_stopped_call_is_ignored(log):
    with Workers([{}, {}], log) as pool:
        submit_two(pool)
        all_ended(pool)  # so both are ready, and what comes next is an answer
        submit_two(pool)
        connections = [worker.connection for worker in pool._workers]
        wait_until(lambda: all(one.poll() for one in connections), "there is no answer")
        pool.stop(["a", "b"])
        assert pool.wait(0) == []
        assert pool.call(partial(worker_calls.add, 2, 2)) == 4


def test_a_lost_call_is_not_a_users_mistake(workers):
    with pytest.raises(CallLost, match="SIGKILL"):
        workers.call(partial(worker_calls.die_of, "SIGKILL"))
    with pytest.raises(CallLost, match="longer than its time limit"):
        workers.call(partial(time.sleep, 600), limit_seconds=0.01)


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux only")
def test_when_memory_runs_out_a_worker_is_killed_before_its_parent(workers):
    assert workers.call(worker_calls.oom_score) > worker_calls.oom_score()


def test_a_process_takes_one_call_after_another(workers):
    assert workers.call(worker_calls.process_id) == workers.call(worker_calls.process_id)


@pytest.mark.parametrize(
    ("call", "words", "kind"),
    [
        (worker_calls.refuse, "no trial could succeed", UserError),
        (worker_calls.refuse_usage, "no such experiment", UsageError),
    ],
)
def test_a_users_mistake_is_refused_in_its_own_words_and_kind(workers, call, words, kind):
    workers.submit("a", call)
    assert next_ended(workers) == [Ended("a", problem=words, refused=kind)]
    with pytest.raises(UserError, match=f"^{words}$") as refusal:
        workers.call(call)
    assert type(refusal.value) is kind


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_is_refused_like_a_users_mistake(workers):
    workers.submit("a", worker_calls.fill_the_disk)
    (ended,) = next_ended(workers)
    assert ended.refused and "the disk is full" in ended.problem


def test_any_other_exception_is_a_problem_and_the_process_goes_on(workers):
    before = workers.call(worker_calls.process_id)
    workers.submit("a", worker_calls.divide_by_zero)
    (ended,) = next_ended(workers)
    assert (ended.key, ended.refused) == ("a", None)
    assert ended.problem.startswith("ZeroDivisionError: ")
    assert workers.call(worker_calls.process_id) == before
    with pytest.raises(UserError, match=r"^ZeroDivisionError: "):
        workers.call(worker_calls.divide_by_zero)


DEATHS = {
    "exit": (partial(worker_calls.leave, 3), "its process exited with 3"),
    "exit without an error": (partial(worker_calls.leave, 0), "its process exited with 0"),
    "sys.exit": (partial(worker_calls.leave_politely, 4), "its process exited with 4"),
    "killed": (partial(worker_calls.die_of, "SIGKILL"), "was killed by SIGKILL (out of memory?)"),
    "crashed": (partial(worker_calls.die_of, "SIGABRT"), "its process was killed by SIGABRT"),
    "answer cannot be sent": (worker_calls.return_what_cannot_be_sent, "its process exited with 1"),
}


@pytest.mark.parametrize(("call", "words"), DEATHS.values(), ids=DEATHS.keys())
def test_a_process_that_dies_is_reported_and_replaced(workers, call, words):
    workers.submit("a", call)
    (ended,) = next_ended(workers)
    assert (ended.key, ended.value, ended.refused) == ("a", None, None)
    assert words in ended.problem
    assert workers.idle == 2
    for key in ("b", "c"):
        workers.submit(key, partial(worker_calls.add, 1, 1))
    assert [one.value for one in all_ended(workers)] == [2, 2]


def test_an_idle_process_that_dies_is_replaced(workers):
    """A call that is submitted at the same moment is not lost."""
    for _ in range(2):
        idle = workers.call(worker_calls.process_id)
        os.kill(idle, signal.SIGKILL)
        os.waitid(os.P_PID, idle, os.WEXITED | os.WNOWAIT)  # until it is gone
        for key in ("a", "b"):
            workers.submit(key, partial(worker_calls.add, 1, 1))
        assert {one.key for one in all_ended(workers)} == {"a", "b"}
    assert workers.call(partial(worker_calls.add, 1, 1)) == 2


def test_a_call_over_its_time_limit_is_killed(workers, tmp_path):
    workers.submit("a", partial(worker_calls.hold, tmp_path / "lock"), limit_seconds=0.01)
    workers.submit("b", partial(worker_calls.hold, tmp_path / "other"), limit_seconds=1e6)
    assert next_ended(workers) == [
        Ended("a", problem="it took longer than its time limit", overdue=True)
    ]
    wait_until_free(tmp_path / "lock")
    assert workers.running == ["b"] and workers.idle == 1
    assert workers.call(partial(worker_calls.add, 1, 1)) == 2


@pytest.mark.parametrize("busy", [False, True])
def test_stopping_a_call_kills_its_process_and_replaces_it(workers, tmp_path, busy):
    workers.submit("a", partial(worker_calls.hold, tmp_path / "lock", busy))
    wait_until_held(tmp_path / "lock")
    workers.stop(["a", "not running"])
    wait_until_free(tmp_path / "lock")
    assert workers.running == [] and workers.idle == 2
    assert workers.wait(0) == []  # a call that was stopped does not end as well
    workers.submit("b", partial(worker_calls.add, 1, 1))
    workers.submit("c", partial(worker_calls.add, 1, 1))
    assert [one.value for one in all_ended(workers)] == [2, 2]


def test_stopping_one_call_leaves_the_others_alone(workers):
    workers.submit("a", partial(time.sleep, 600))
    workers.submit("b", worker_calls.process_id)
    workers.stop(["a"])
    assert [one.key for one in next_ended(workers)] == ["b"]


def test_waiting_ends_even_if_no_call_has_ended(workers):
    assert workers.wait(0) == []
    workers.submit("a", partial(time.sleep, 600))
    assert workers.wait(0.01) == []
    assert workers.running == ["a"]


def test_the_environment_is_set_before_anything_is_imported(workers):
    """Each process has its own environment, such as its GPU, and so has its replacement."""
    for _ in range(2):
        for key in ("a", "b"):
            workers.submit(key, worker_calls.environment_at_import)
        assert {one.value for one in all_ended(workers)} == {"first", "second"}
        workers.submit("c", partial(time.sleep, 600))
        workers.stop(["c"])
    assert "SEEN_AT_IMPORT" not in os.environ


def test_a_worker_finds_the_modules_of_its_parent(workers):
    assert str(Path(worker_calls.__file__).parent) in workers.call(worker_calls.search_path)


def test_a_worker_finds_this_package_where_its_parent_no_longer_would(tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {os.path.relpath(ROOT, tmp_path)!r})\n"
        "from mnist_cnn.workers.local_pool import Workers\n"
        "os.chdir('/')\n"
        "with Workers([{}], Path('/dev/null')) as workers:\n"
        "    print(workers.call(os.getpid) != os.getpid())\n"
    )
    # Without the installed packages, among which this one may be.
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_a_worker_prints_is_in_the_log_when_its_call_ends(workers, log, capfd):
    workers.call(partial(worker_calls.say, "greetings"))
    lines = log.read_text().splitlines()
    for line in ("greetings", "greetings on stderr", "greetings of a child"):
        assert line in lines
    assert capfd.readouterr() == ("", "")


def test_a_process_that_grows_too_much_after_its_first_call_is_replaced(log):
    """Memory that the first call takes does not count: every process needs the data set."""
    with Workers([{}], log, memory_bytes=64 * 2**20) as pool:
        grown = [pool.call(partial(worker_calls.keep, 200 * (n % 2))) for n in (1, 0, 0, 1, 0)]
    assert [grown.index(process) for process in grown] == [0, 0, 0, 0, 4]


STOPPED = """
import sys
from functools import partial
from pathlib import Path

import worker_calls
from mnist_cnn.workers import local_pool

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    local_pool.LONGEST_TICK_SECONDS = 0.5
    with local_pool.Workers([{}], folder / "log") as workers:
        workers.submit("a", partial(worker_calls.sleep_and_say, folder / "begun", 1.0), 2.5)
        while not (ended := workers.wait(0.1)):
            pass
    print(ended[0].problem or "in time")
"""


def test_time_in_which_the_whole_search_is_suspended_counts_for_no_limit(tmp_path):
    """Such as by Ctrl-Z, or when a laptop is closed."""
    (tmp_path / "parent.py").write_text(STOPPED)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(worker_calls.__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGSTOP)
    time.sleep(3)
    os.killpg(parent.pid, signal.SIGCONT)
    assert parent.communicate(timeout=60)[0] == "in time\n"


def test_a_worker_that_is_suspended_alone_still_reaches_its_limit(log, tmp_path):
    with Workers([{}], log) as pool:
        process = pool.call(worker_calls.process_id)
        call = partial(worker_calls.sleep_and_say, tmp_path / "begun", 0.5)
        pool.submit("a", call, limit_seconds=2.0)
        while not (tmp_path / "begun").exists():
            pool.wait(0.05)
        os.kill(process, signal.SIGSTOP)
        assert next_ended(pool)[0].overdue


def test_a_process_is_replaced_after_its_maximum_of_calls(log):
    with Workers([{}], log, calls=2) as pool:
        processes = [pool.call(worker_calls.process_id) for _ in range(5)]
    assert [processes.index(process) for process in processes] == [0, 0, 2, 2, 4]


def test_temporary_files_of_a_process_go_with_it(log):
    with Workers([{}, {}], log) as pool:
        folders = []
        for _ in range(2):
            for key in ("a", "b"):
                pool.submit(key, worker_calls.leave_a_file)
            ended = all_ended(pool)
            folders.append({one.value for one in ended})
            assert [len(list(one.value.iterdir())) for one in ended] == [1, 1]
            for key in ("a", "b"):
                pool.submit(key, partial(time.sleep, 600))
            pool.stop(["a", "b"])
    assert len(folders[0]) == 2 and folders[0] == folders[1]
    assert not any(folder.exists() or folder.parent.exists() for folder in folders[0])


def test_leaving_the_pool_kills_its_processes(log, tmp_path):
    with Workers([{}], log) as pool:
        pool.submit("a", partial(worker_calls.hold, tmp_path / "lock"))
        wait_until_held(tmp_path / "lock")
    wait_until_free(tmp_path / "lock")


PARENT = """
import sys, time
from functools import partial
from pathlib import Path

import worker_calls
from mnist_cnn.workers.local_pool import Workers

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    workers = Workers([{}] * 3, folder / "log")  # and the third waits for a call
    workers.submit("a", partial(worker_calls.hold, folder / "asleep"))
    workers.submit("b", partial(worker_calls.hold, folder / "busy", busy=True))
    time.sleep(600)
"""


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(worker_calls.__file__).parent)},
    )
    try:
        for name in ("asleep", "busy"):
            wait_until_held(tmp_path / name)
    finally:
        parent.kill()
        parent.wait()
    for name in ("asleep", "busy"):
        wait_until_free(tmp_path / name)


def test_only_the_parent_handles_ctrl_c_and_a_closed_terminal(workers):
    """A terminal sends the signals to every process, but only the search knows how to stop."""
    worker = workers.call(worker_calls.process_id)
    for number in STOPPING:
        os.kill(worker, number)
    assert workers.call(worker_calls.process_id) == worker
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(STOPPING)  # we still hear them


def submit_two(workers):
    for key in ("a", "b"):
        workers.submit(key, partial(worker_calls.add, 1, 1))


def next_ended(workers):
    """Wait for the next calls to end, and return them."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit:
        if ended := workers.wait(0.05):
            return ended
    raise AssertionError(f"none of {workers.running} ended")


def all_ended(workers):
    ended = []
    while workers.running:
        ended += next_ended(workers)
    return ended


def wait_until_held(path):
    wait_until(lambda: path.exists() and path.read_text() == "held", f"nobody holds {path}")


def wait_until_free(path):
    """Wait until the lock is free, and thus the process that held it is gone."""
    wait_until(lambda: not is_locked(path), f"the process that holds {path} lives on")


def is_locked(path):
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition, complaint):
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, complaint
        time.sleep(0.01)
