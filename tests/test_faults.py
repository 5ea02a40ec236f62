"""A search cannot lose work: real searches are killed, starved and cut off, and go on."""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest
from faults import Search, agrees, best_model_scores_what_is_recorded, load_study, make_project
from mlflow import MlflowClient
from optuna.trial import TrialState

pytestmark = pytest.mark.slow

VARIANT = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Confirm
{imports}
experiment = replace(smoke, {changes})
"""


def variant(changes, imports=""):
    return VARIANT.format(changes=changes, imports=imports)


def test_twenty_kills_at_random_moments_change_nothing_but_the_time(tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed of the moments: {seed}")
    moments = random.Random(seed)
    slow = variant("trials=6, epochs=3, confirm=Confirm(trials=1, seeds=2)")
    undisturbed = make_project((tmp_path / "undisturbed"), experiments__steady=slow)
    disturbed = make_project((tmp_path / "disturbed"), experiments__steady=slow)
    # With one worker the trials' order is fixed, and with it all that the sampler chooses.
    code, _, err = Search(undisturbed, "--workers", "1", experiment="steady").finish()
    assert code == 0, err

    kills = 0
    while kills < 20:
        search = Search(disturbed, "--workers", "1", experiment="steady")
        start = len(search.events())
        more = moments.randrange(4)
        if not search.wait_for(lambda e, n=start + more: len(e) >= n):
            break
        time.sleep(moments.random() * (6 if more == 0 else 0.6))
        search.kill()
        kills += 1
    assert kills == 20
    code, out, err = Search(disturbed, "--workers", "1", experiment="steady").finish()
    assert code == 0, err
    assert "going on with steady-1" in out

    found = agrees(disturbed, "steady-1")
    best_model_scores_what_is_recorded(*found)
    expected = load_study(undisturbed, "steady-1").trials
    for trial, other in zip(found[0].trials, expected, strict=True):
        assert trial.params == other.params
        assert trial.state == other.state
        assert trial.intermediate_values == other.intermediate_values
        assert trial.values == other.values


def test_a_killed_worker_costs_nothing_and_a_trial_that_kills_two_is_failed(tmp_path):
    root = make_project(
        tmp_path,
        search_spaces__deadly=(
            "import os, signal\n"
            "from search_spaces.cnn import cnn\n\n\n"
            "def deadly(hp):\n"
            "    if hp.Choice('kill', [0, 1]) and hp.Int('once', 0, 9):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return cnn(hp)\n"
        ),
        experiments__deadly=variant(
            "space=deadly, trials=8", "from search_spaces.deadly import deadly"
        ),
    )
    search = Search(root, "--workers", "2", experiment="deadly")
    assert search.wait_for(lambda events: any(e["event"] == "metrics" for e in events))
    os.kill(search.workers()[0], signal.SIGKILL)
    code, _, err = search.finish()
    assert code == 0, err
    study, *_ = agrees(root, "deadly-1")
    killers = [t for t in study.trials if t.params["kill"] and t.params.get("once")]
    assert killers, "the sampler chose no deadly trial; take another seed"
    for trial in study.trials:
        assert (trial.state == TrialState.FAIL) == (trial in killers)
    assert all("SIGKILL" in trial.user_attrs["reason"] for trial in killers)
    assert all("second time" in trial.user_attrs["reason"] for trial in killers)


def test_a_trial_that_hangs_inside_a_batch_is_stopped_at_its_time_limit(tmp_path):
    root = make_project(
        tmp_path,
        search_spaces__hanging=(
            "import time\n"
            "import keras\n"
            "import tensorflow as tf\n"
            "from search_spaces.cnn import cnn\n\n\n"
            "def hanging(hp):\n"
            "    model = cnn(hp)\n"
            "    if hp.Choice('hang', [0, 1]):\n"
            "        def loss(y, p):\n"
            "            sleep = tf.py_function(lambda: time.sleep(1e4), [], [])\n"
            "            with tf.control_dependencies([sleep]):\n"
            "                return keras.losses.sparse_categorical_crossentropy(y, p)\n"
            "        model.compile('adam', loss, metrics=['accuracy'])\n"
            "    return model\n"
        ),
        experiments__hanging=variant(
            "space=hanging, trials=4, trial_timeout_seconds=25, confirm=Confirm(trials=0)",
            "from search_spaces.hanging import hanging",
        ),
    )
    code, _, err = Search(root, experiment="hanging").finish()
    assert code == 0, err
    study, *_ = agrees(root, "hanging-1")
    hung = [trial for trial in study.trials if trial.params["hang"]]
    assert hung, "the sampler chose no hanging trial; take another seed"
    for trial in study.trials:
        assert (trial.state == TrialState.FAIL) == (trial in hung)
    assert all("time limit" in trial.user_attrs["reason"] for trial in hung)


def test_ctrl_c_saves_says_how_to_go_on_and_loses_no_epoch(tmp_path):
    root = make_project(tmp_path)
    search = Search(root)
    assert search.wait_for(lambda events: any(e["event"] == "metrics" for e in events))
    os.killpg(search.process.pid, signal.SIGINT)
    code, out, err = search.finish(60)
    assert code == 130, err
    assert "go on with `make search EXPERIMENT=smoke`" in out
    assert "Traceback" not in err
    states = {trial.state for trial in load_study(root, "smoke-1").trials}
    assert TrialState.RUNNING not in states and TrialState.WAITING in states
    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("smoke").experiment_id
    assert not client.search_runs([experiment], "attributes.status = 'RUNNING'")
    code, out, err = Search(root).finish()
    assert code == 0, err
    best_model_scores_what_is_recorded(*agrees(root, "smoke-1"))


def test_a_timeout_bounds_the_search_and_the_study_is_finished(tmp_path):
    root = make_project(tmp_path)
    search = Search(root, "--trials", "500", "--timeout", "30")
    code, _, err = search.finish(120)
    assert code == 0, err
    study = load_study(root, "smoke-1")
    assert study.user_attrs["finished"]
    assert study.user_attrs["seconds"] < 45
    assert TrialState.RUNNING not in {trial.state for trial in study.trials}


def test_two_searches_of_one_experiment_do_not_run_at_once(tmp_path):
    root = make_project(tmp_path)
    first = Search(root)
    while not (root / "mlruns/checkpoints/smoke.lock").exists():
        time.sleep(0.05)
    code, _, err = Search(root).finish()
    first.kill()
    assert code == 1
    assert "another search of 'smoke' is running" in err and len(err.splitlines()) == 1


def test_a_changed_space_opens_a_new_study_and_says_so(tmp_path):
    root = make_project(tmp_path)
    search = Search(root)
    assert search.wait_for(lambda events: any(e["event"] == "metrics" for e in events))
    search.kill()
    space = root / "search_spaces/cnn.py"
    space.write_text(space.read_text().replace("[0, 64, 128, 256]", "[64, 128]"))
    code, out, err = Search(root).finish()
    assert code == 0, err
    assert "changed since smoke-1" in out and "new study smoke-2" in out
    assert load_study(root, "smoke-1").trials[0].state == TrialState.RUNNING


def test_a_tracking_server_that_is_killed_and_comes_back_misses_nothing(tmp_path):
    root = make_project(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    server = start_server(root, port)
    search = Search(root, "--trials", "5", env={"MLFLOW_TRACKING_URI": uri})
    assert search.wait_for(lambda events: any(e["event"] == "metrics" for e in events))
    stop_server(server)
    done = sum(e["event"] == "end" for e in search.events())
    assert search.wait_for(lambda events: sum(e["event"] == "end" for e in events) >= done + 2)
    server = start_server(root, port)
    code, _, err = search.finish()
    try:
        assert code == 0, err
        best_model_scores_what_is_recorded(*agrees(root, "smoke-1", uri))
    finally:
        stop_server(server)


def test_a_tracking_server_that_never_comes_back_is_served_later_by_sync(tmp_path):
    root = make_project(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    code, out, err = Search(root, env=env).finish()
    assert code == 0, err
    assert "`mnist-cnn sync` delivers them" in out
    sync = [sys.executable, "-m", "mnist_cnn", "sync"]
    server = start_server(root, port)
    try:
        for _ in range(2):  # the second time there is nothing left to do, and nothing is doubled
            done = subprocess.run(
                sync, cwd=root, env=os.environ | env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert "smoke-1" in done.stdout
            best_model_scores_what_is_recorded(*agrees(root, "smoke-1", env["MLFLOW_TRACKING_URI"]))
    finally:
        stop_server(server)


def test_a_full_disk_is_said_clearly_and_the_search_goes_on_when_there_is_room(tmp_path):
    root = make_project(tmp_path)
    search = Search(
        root,
        # A limit on the size of files stands in for the end of the disk.
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
    )
    code, _, err = search.finish()
    assert code == 1
    assert "make room and type the same command again" in err
    assert "Traceback" not in err
    code, _, err = Search(root).finish()
    assert code == 0, err
    study, *_ = agrees(root, "smoke-1")
    assert all(trial.state != TrialState.FAIL for trial in study.trials)


def test_eight_workers_and_two_hundred_short_trials_lose_and_double_nothing(tmp_path):
    root = make_project(
        tmp_path,
        search_spaces__tiny=(
            "import keras\n\n\n"
            "def tiny(hp):\n"
            "    model = keras.Sequential([\n"
            "        keras.Input((28, 28, 1)),\n"
            "        keras.layers.MaxPooling2D(hp.Choice('pool', [4, 7])),\n"
            "        keras.layers.Flatten(),\n"
            "        keras.layers.Dense(10, activation='softmax', dtype='float32'),\n"
            "    ])\n"
            "    model.compile(keras.optimizers.Adam(hp.Float('rate', 1e-3, 1e-1)),\n"
            "                  'sparse_categorical_crossentropy', metrics=['accuracy'])\n"
            "    return model\n"
        ),
        experiments__tiny=variant(
            "space=tiny, trials=200, epochs=1, baseline={}, timeout_seconds=None, "
            "confirm=Confirm(trials=0)",
            "from search_spaces.tiny import tiny",
        ),
    )
    code, _, err = Search(root, "--workers", "8", experiment="tiny").finish(900)
    assert code == 0, err
    study, *_ = agrees(root, "tiny-1")
    assert len(study.trials) == 200
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in study.trials)


def start_server(root, port):
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{root}/server.db"]
    command += ["--artifacts-destination", str(root / "server-artifacts")]
    server = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    raise AssertionError("MLflow's server did not start")


def stop_server(server):
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
