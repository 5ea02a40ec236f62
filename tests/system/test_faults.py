"""A search cannot lose work: real searches are killed, starved and cut off, and go on."""

import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import (
    Search,
    Server,
    agrees,
    best_model_scores_what_is_recorded,
    epochs,
    load_study,
    make_project,
    nothing_runs,
)
from optuna.trial import TrialState

from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.study.chains import RUNG, continued, tried
from mnist_cnn.tracking.journal import read

pytestmark = pytest.mark.slow

FINE = (TrialState.COMPLETE, TrialState.PRUNED)


def test_twenty_kills_at_random_moments_change_nothing_but_the_time(tmp_path, note):
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed of the moments: FAULTS_SEED={seed}")
    moments = random.Random(seed)
    # Behind these, trials are sampled. What their parameters are depends on the moments, since a
    # kill in the midst of sampling leaves a half of them; what becomes of these does not.
    fixed = [{"rate": 0.01}, {"rate": 0.03, "pool": 7}, {"rate": 0.1}]
    steady = f"space=harmless, trials=1000, epochs=4, baseline={fixed}"
    disturbed = make_project(tmp_path / "disturbed", steady=steady)
    seconds = []  # from the command to the next epoch
    for _ in range(20):
        # With one worker the trials' order is fixed, and with it what a pruner makes of them.
        search = Search(disturbed, experiment="steady")
        if moments.random() < 0.25:
            time.sleep(6 * moments.random())
        else:
            before = epochs(search.events())
            seconds.append(search.wait_for_epoch())
            more = moments.randrange(1, 4)
            assert search.wait_for(lambda events, n=before + more: epochs(events) >= n)
            time.sleep(0.3 * moments.random())
        moments.choice((search.kill, search.orphan))()

    ended = sum(trial.state.is_finished() for trial in load_study(disturbed, "steady-1").trials)
    trials = str(max(ended + 1, len(fixed)))
    code, out, err = Search(disturbed, "--trials", trials, experiment="steady").finish()
    assert code == 0, err
    assert "continuing steady-1" in out
    study, client, parent, runs = agrees(disturbed, "steady-1")
    best_model_scores_what_is_recorded(study, client, parent, runs)
    assert tried(study.trials) == int(trials)
    recovery = f"{statistics.median(seconds):.1f} s from the command to the next epoch, the median"
    note("SIGKILL of all processes, or of the search's alone", 20, study, client, runs, recovery)

    undisturbed = make_project(tmp_path / "undisturbed", steady=steady)
    search = Search(undisturbed, "--trials", str(len(fixed)), experiment="steady")
    code, _, err = search.finish()
    assert code == 0, err
    expected = load_study(undisturbed, "steady-1").trials
    for trial, other in zip(study.trials[: len(fixed)], expected, strict=True):
        assert trial.params == other.params
        assert trial.state == other.state
        assert trial.intermediate_values == other.intermediate_values
        assert trial.values == other.values


def test_a_screened_search_that_is_killed_continues_each_trial_once(tmp_path):
    root = make_project(
        tmp_path,
        screened="space=harmless, trials=10, epochs=4, baseline=(), "
        "screen=Screen(rungs=(1, 2), one_of=2)",
    )
    for kill in (Search.kill, Search.orphan, Search.kill, Search.orphan):
        search = Search(root, experiment="screened", workers=2)
        before = epochs(search.events())
        assert search.wait_for(lambda events, n=before + 4: epochs(events) >= n)
        kill(search)
    code, _, err = Search(root, experiment="screened", workers=2).finish()
    assert code == 0, err
    study, *_ = agrees(root, "screened-1")
    later = [trial for trial in study.trials if continued(trial) is not None]
    assert tried(study.trials) == 10
    before = [continued(trial) for trial in later]
    assert len(before) == len(set(before))
    at_rung = [sum(trial.user_attrs[RUNG] == rung for trial in later) for rung in (1, 2)]
    assert at_rung[0] >= 5 and at_rung[1] >= 2
    for trial in later:
        assert trial.params == study.trials[continued(trial)].params
        earlier = epochs_of(root, continued(trial))
        assert epochs_of(root, trial.number)[: len(earlier)] == earlier


def epochs_of(root, number):
    """Its metrics, and with them the seconds that an epoch took: those of no other training."""
    events, _ = read(root / f"mlruns/checkpoints/screened-1/trial-{number:05d}")
    return [event["metrics"] for event in events if event["event"] == "metrics"]


def test_a_trial_that_goes_wrong_in_any_way_costs_itself_only(tmp_path, note):
    reasons = {
        "kill": "killed by SIGKILL (out of memory?), for the second time",
        "hang": "longer than its time limit",
        "nan": "the loss became nan",
        "crash": "a batch that cannot be computed",
        "huge": "its training needs",
    }
    order = ("slow", *reasons, "none", "none")
    root = make_project(
        tmp_path,
        bad=f"trials={len(order)}, epochs=3, trial_timeout_seconds=40, "
        f"baseline=[{{'trap': trap}} for trap in {order}]",
    )
    search = Search(root, workers=2, experiment="bad")
    search.wait_for_epoch()
    os.kill(int((root / "dawdler").read_text()), signal.SIGKILL)  # the worker of the first trial
    first = root / "mlruns/checkpoints/bad-1/trial-00000"
    began, before = time.monotonic(), len(read(first)[0])
    assert search.wait_for(lambda events: len(read(first)[0]) >= before + 2)  # a pause, a start
    seconds = time.monotonic() - began
    code, _, err = search.finish()
    assert code == 0, err
    study, client, _, runs = agrees(root, "bad-1")
    fault = "worker killed twice by its trial; hung batch; NaN loss; exception; too large a model"
    note(f"worker killed; {fault}", 6, study, client, runs, f"{seconds:.1f} s to a new worker")
    for trial, trap in zip(study.trials, order, strict=True):
        assert trial.params["trap"] == trap
        assert trial.state == TrialState.FAIL if trap in reasons else trial.state in FINE
        assert reasons.get(trap, "") in trial.user_attrs.get("reason", "")
    assert [trial.user_attrs.get("deaths", 0) for trial in study.trials] == [1, 2, *[0] * 6]


def test_a_trial_that_takes_all_memory_is_killed_and_nothing_else(tmp_path, note):
    group = Path(f"/sys/fs/cgroup/memory/mnist-cnn-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(3 * 2**30))
    except OSError as error:
        pytest.skip(f"no group of processes with a memory limit can be made here: {error}")
    root = make_project(
        tmp_path,
        greedy="trials=3, baseline=[{'trap': 'none'}, {'trap': 'swallow'}, {'trap': 'none'}]",
    )
    search = Search(
        root,
        workers=2,
        experiment="greedy",
        before=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
    )
    try:
        code, _, err = search.finish()
    finally:
        remove_group(group)
    assert code == 0, err
    study, client, _, runs = agrees(root, "greedy-1")
    note("worker killed for memory by the kernel", 2, study, client, runs, "")
    assert [trial.state in FINE for trial in study.trials] == [True, False, True]
    assert "killed by SIGKILL (out of memory?)" in study.trials[1].user_attrs["reason"]
    assert "deaths" not in study.trials[0].user_attrs | study.trials[2].user_attrs


def remove_group(group):
    """Remove a group of processes; the kernel keeps it for a while after the last one ended."""
    for _ in range(600):
        try:
            return group.rmdir()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"processes live on in {group}")


def test_ctrl_c_sigterm_and_a_closed_terminal_save_and_say_how_to_go_on(tmp_path, note):
    root = make_project(tmp_path, slow="trials=2, epochs=12, baseline=[{'trap': 'slow'}, {}]")
    seconds = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        search = Search(root, experiment="slow")
        seconds.append(search.wait_for_epoch())
        os.killpg(search.process.pid, number)
        code, out, err = search.finish(60)
        assert code == 130, err
        assert err == ""
        assert out.splitlines()[-1].endswith(
            "continue with `make search EXPERIMENT=slow WORKERS=1`"
        )
        nothing_runs(root, "slow-1")
        assert TrialState.WAITING in {trial.state for trial in load_study(root, "slow-1").trials}

    search = Search(root, experiment="slow")
    search.wait_for_epoch()
    for _ in range(2):
        os.killpg(search.process.pid, signal.SIGINT)
        time.sleep(0.3)
    assert search.finish(60)[0] == 130
    code, out, err = Search(root, experiment="slow").finish()
    assert code == 0, err
    study, *found = agrees(root, "slow-1")
    assert all("deaths" not in trial.user_attrs for trial in study.trials)
    best_model_scores_what_is_recorded(study, *found)
    recovery = f"{statistics.median(seconds):.1f} s from the command to the next epoch, the median"
    note("Ctrl-C, once and twice; SIGTERM; SIGHUP", 4, study, found[0], found[2], recovery)


def test_a_timeout_bounds_the_search_and_the_same_command_goes_on(tmp_path):
    root = make_project(
        tmp_path,
        endless="trials=2, epochs=100_000, patience=100_000, baseline=[{}, {'trap': 'hang'}]",
    )
    search = Search(root, "--timeout", "40", experiment="endless")
    code, _, err = search.finish(120)
    assert code == 1 and "no trial was complete in time" in err
    nothing_runs(root, "endless-1")
    code, _, err = Search(root, "--timeout", "20", experiment="endless").finish(120)
    assert code == 1 and "endless-1: no trial was complete in time" in err
    nothing_runs(root, "endless-1")
    assert len(load_study(root, "endless-1").trials) == 2


def test_a_timeout_bounds_the_look_before_the_first_trial_too(tmp_path):
    root = make_project(tmp_path, stuck="dataset=lambda: __import__('time').sleep(10_000)")
    code, _, err = Search(root, "--timeout", "2", experiment="stuck").finish(120)
    assert code == 1
    assert "cannot check experiment 'stuck': it took longer than its time limit" in err
    assert len(err.splitlines()) == 1


def test_two_searches_of_one_study_do_not_run_at_once(tmp_path):
    slow = "trials=2, epochs=1000, patience=1000, baseline=[{'trap': 'slow'}] * 2"
    storage = f"sqlite:///{tmp_path}/shared.db"
    roots = [make_project(tmp_path / name, slow=slow) for name in ("one", "other")]
    both = [Search(root, "--storage", storage, experiment="slow") for root in roots]
    while all(search.process.poll() is None for search in both):
        time.sleep(0.1)  # until one of both is refused
    first = next(search for search in both if search.process.poll() is None)
    second = next(search for search in both if search is not first)
    code, _, err = second.finish()
    assert code == 1 and len(err.splitlines()) == 1
    assert "another search is running on slow-1" in err
    assert first.wait_for_epoch()
    # From the same folder it is refused as well, whatever the storage.
    code, _, err = Search(first.root, experiment="slow").finish()
    assert code == 1 and len(err.splitlines()) == 1
    assert "another search of 'slow' is running" in err
    # One that is stopped holds its study as well, however long.
    os.killpg(first.process.pid, signal.SIGSTOP)
    code, _, err = Search(second.root, "--storage", storage, experiment="slow").finish()
    assert code == 1 and "another search is running on slow-1" in err
    os.killpg(first.process.pid, signal.SIGCONT)
    assert first.wait_for_epoch()
    # A killed one leaves it at once.
    first.kill()
    search = Search(first.root, "--storage", storage, experiment="slow")
    assert search.wait_for_epoch()
    search.kill()


def test_a_changed_space_opens_a_new_study_and_leaves_nothing_running(tmp_path):
    root = make_project(tmp_path, slow="trials=1, epochs=5, baseline={'trap': 'slow'}")
    search = Search(root, experiment="slow")
    search.wait_for_epoch()
    search.kill()
    space = root / "search_spaces/traps.py"
    space.write_text(space.read_text().replace("[4, 7]", "[4, 7, 14]"))
    code, out, err = Search(root, experiment="slow").finish()
    assert code == 0, err
    assert "changed since slow-1" in out and "new study slow-2" in out
    assert "slow-1 was interrupted; closed its runs" in out
    for name in ("slow-1", "slow-2"):
        nothing_runs(root, name)
    best_model_scores_what_is_recorded(*agrees(root, "slow-2"))


def test_a_space_that_is_edited_while_its_search_runs_never_reaches_its_study(tmp_path):
    root = make_project(tmp_path, slow="trials=1, epochs=5, baseline={'trap': 'slow'}")
    search = Search(root, experiment="slow")
    search.wait_for_epoch()
    space = root / "search_spaces/traps.py"
    space.write_text(space.read_text().replace("[4, 7]", "[4, 7, 14]"))
    os.kill(int((root / "dawdler").read_text()), signal.SIGKILL)  # the next worker reads the edit
    code, _, err = search.finish()
    assert code == 1
    assert "changed while the search was running" in err and len(err.splitlines()) == 1
    kept = root / "mlruns/checkpoints/slow-1/trial-00000/sources.json"
    assert "[4, 7, 14]" not in kept.read_text()
    assert load_study(root, "slow-1").trials[0].state == TrialState.WAITING


def test_a_tracking_server_that_is_killed_and_comes_back_misses_nothing(tmp_path, note):
    root = make_project(tmp_path, tiny="trials=6, baseline=[{}] * 6")
    server = Server(root)
    server.start()
    search = Search(root, experiment="tiny", env={"MLFLOW_TRACKING_URI": server.uri})
    search.wait_for_epoch()
    server.kill()
    done = sum(event["event"] == "end" for event in search.events())
    assert search.wait_for(lambda events: sum(e["event"] == "end" for e in events) >= done + 2)
    began = time.monotonic()
    server.start()
    try:
        code, out, err = search.finish()
        seconds = time.monotonic() - began
        assert code == 0, err
        lines = [line for line in out.splitlines() if line.startswith("MLflow ")]
        assert len(lines) == 2 and "cannot be updated" in lines[0]
        assert lines[1] == "MLflow has everything again"
        study, client, *found = agrees(root, "tiny-1", server.uri)
        best_model_scores_what_is_recorded(study, client, *found)
        recovery = f"{seconds:.1f} s from the server's start to the end of the search"
        note("tracking server killed and started again", 1, study, client, found[1], recovery)
    finally:
        server.kill()


def test_a_tracking_server_that_never_comes_back_is_served_later_by_sync(tmp_path, note):
    root = make_project(tmp_path, tiny="trials=2, baseline=[{}] * 2")
    server = Server(root)
    env = {"MLFLOW_TRACKING_URI": server.uri}
    code, out, err = Search(root, experiment="tiny", env=env).finish()
    assert code == 0, err
    assert "`mnist-cnn sync` delivers them" in out
    server.start()
    began = time.monotonic()
    try:
        for _ in range(2):  # the second time there is nothing left to do, and nothing is doubled
            done = subprocess.run(
                [sys.executable, "-m", "mnist_cnn", "sync"],
                cwd=root,
                env=os.environ | env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout == "tiny-1: everything is in MLflow\n"
            study, client, *found = agrees(root, "tiny-1", server.uri)
            best_model_scores_what_is_recorded(study, client, *found)
        recovery = f"{time.monotonic() - began:.1f} s for `sync`, twice"
        note("tracking server away for the whole search", 1, study, client, found[1], recovery)
    finally:
        server.kill()


def test_a_full_disk_is_said_clearly_and_the_search_goes_on_when_there_is_room(tmp_path, note):
    root = make_project(tmp_path)
    search = Search(
        root,
        # A limit on the size of files stands in for the end of the disk.
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
    )
    code, _, err = search.finish()
    stopped_for_a_full_disk(code, err)
    note("a limit on the size of files", 1, *goes_on_when_there_is_room(root))


def test_a_disk_that_is_really_full_is_no_different(tmp_path, note):
    root = make_project(tmp_path)
    mount = ["mount", "-t", "tmpfs", "tmpfs", root / "mlruns", "-o"]
    if subprocess.run([*mount, "size=4m"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        code, _, err = Search(root).finish()
        stopped_for_a_full_disk(code, err)
        subprocess.run([*mount, "remount,size=64m"], check=True)
        search = Search(root)
        # Once more, while the best model is written in MLflow's format.
        assert search.wait_for(lambda events: any(e.get("path") == MODEL_FILE for e in events))
        filler = root / "mlruns/filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        code, _, err = search.finish()
        assert not any(event["event"] == "model" for event in search.events())
        stopped_for_a_full_disk(code, err)
        filler.unlink()
        note("disk full, twice", 2, *goes_on_when_there_is_room(root))
    finally:
        subprocess.run(["umount", "--lazy", root / "mlruns"], check=True)


def stopped_for_a_full_disk(code, err):
    """Assert that a search has ended so."""
    assert code == 1
    assert "the same command again" in err and len(err.splitlines()) == 1


def goes_on_when_there_is_room(root):
    """Assert that the same command ends well, and that nothing is lost."""
    search = Search(root)
    began = time.monotonic()
    before = len(search.events())
    assert search.wait_for(lambda events: len(events) > before)
    seconds = time.monotonic() - began
    code, _, err = search.finish()
    assert code == 0, err
    study, client, parent, runs = agrees(root, "smoke-1")
    assert all(trial.state in FINE for trial in study.trials)
    best_model_scores_what_is_recorded(study, client, parent, runs)
    return study, client, runs, f"{seconds:.1f} s from the command to the next event"


def test_eight_workers_and_two_hundred_short_trials_lose_and_double_nothing(tmp_path, note):
    root = make_project(
        tmp_path,
        short="space=smallest, trials=200, epochs=1, epoch_images=100, baseline={}, "
        "confirm=Confirm(trials=0)",
    )
    code, _, err = Search(root, workers=8, experiment="short").finish(900)
    assert code == 0, err
    study, client, _, runs = agrees(root, "short-1")
    note("eight workers, 200 short trials", 1, study, client, runs, "")
    assert len(study.trials) == 200
    assert all(trial.state in FINE for trial in study.trials)
    log = (root / "mlruns/checkpoints/short.log").read_text()
    assert "locked" not in log and "Traceback" not in log
    assert len(runs) == 201
