"""Searches on a real Ray cluster of several nodes on this machine: what dies goes on elsewhere."""

import signal
import time

import psutil
import pytest
from clusters import cluster_of
from faults import (
    Search,
    Server,
    agrees,
    best_model_scores_what_is_recorded,
    epochs,
    load_study,
    make_project,
)
from optuna.trial import TrialState
from postgres import PASSWORD, Postgres

from mnist_cnn.study.chains import continued, is_lost

pytestmark = pytest.mark.slow

FIXED = [{"rate": 0.01}, {"rate": 0.03, "pool": 7}, {"rate": 0.1}]
FINE = {TrialState.COMPLETE, TrialState.PRUNED}
SLOW = "trials=3, epochs=8, baseline=[{'trap': 'slow', 'rate': r} for r in (0.01, 0.03, 0.1)]"
FOUR = SLOW.replace("trials=3", "trials=4").replace("0.1)", "0.1, 0.02)")


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(3) as (nodes, _):
        yield nodes


def search_on(cluster, root, experiment, *arguments, workers="ray:3", **more):
    given = ("--ray-address", cluster.address, *arguments)
    return Search(root, *given, experiment=experiment, workers=workers, **more)


def nodes_at_work(search):
    """The nodes whose runs have had an epoch and no end, by the short name that lines show."""
    events = search.events()
    begun = [event["node"] for event in events if event["event"] == "begin" and "node" in event]
    return {name.rpartition("/")[2] for name in begun}


def actors():
    """The processes of all actors on this machine."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if any("ray::Node" in part for part in p.info["cmdline"] or ())]


def wait_until_nobody_works():
    limit = time.monotonic() + 60
    while actors():
        assert time.monotonic() < limit, "an actor lives on without its search"
        time.sleep(0.1)


def test_three_nodes_find_what_one_machine_finds_to_the_bit(tmp_path, cluster, note):
    steady = f"space=harmless, trials=3, epochs=4, baseline={FIXED}"
    server = Server(tmp_path)
    server.start()
    try:
        away = make_project(tmp_path / "away", steady=steady)
        search = search_on(cluster, away, "steady", env={"MLFLOW_TRACKING_URI": server.uri})
        code, out, err = search.finish()
        assert code == 0, err
        assert "3 workers on" in out
        assert len(nodes_at_work(search)) == 3
        study, client, _, runs = agrees(away, "steady-1", uri=server.uri)
        note("a search on three nodes", 0, study, client, runs, "")
    finally:
        server.kill()
    here = make_project(tmp_path / "here", steady=steady)
    code, _, err = Search(here, experiment="steady", workers=2).finish()  # one thread each, too
    assert code == 0, err
    for trial, other in zip(study.trials, load_study(here, "steady-1").trials, strict=True):
        assert trial.params == other.params
        assert trial.intermediate_values == other.intermediate_values
        assert trial.values == other.values
    wait_until_nobody_works()


def test_a_node_that_loses_its_power_costs_no_trial(tmp_path, cluster, note):
    node = cluster.add()
    root = make_project(tmp_path, slow=FOUR)
    search = search_on(cluster, root, "slow", workers="ray:4")
    name = node.node_id[:4]
    assert search.wait_for(lambda events: name in nodes_at_work(search) and epochs(events) > 4)
    cluster.remove(node)
    code, out, err = search.finish()
    assert code == 0, err
    study, client, parent, runs = agrees(root, "slow-1")
    lost = [trial for trial in study.trials if is_lost(trial)]
    assert (
        len(lost) == 1 and "was lost: its node does not answer; queued to continue elsewhere" in out
    )
    (later,) = (trial for trial in study.trials if continued(trial) == lost[0].number)
    assert later.params == lost[0].params
    earlier = lost[0].intermediate_values
    assert later.intermediate_values.items() >= earlier.items()  # the same bits once more
    assert {trial.state for trial in study.trials} - {TrialState.FAIL} <= FINE
    note("a node removed in the midst of a trial", 1, study, client, runs, "")
    best_model_scores_what_is_recorded(study, client, parent, runs)
    wait_until_nobody_works()


def test_a_killed_actor_and_a_killed_search_go_on_with_the_same_trials(tmp_path, cluster, note):
    root = make_project(tmp_path, slow=SLOW)
    search = search_on(cluster, root, "slow")
    assert search.wait_for(lambda events: epochs(events) > 2)
    actors()[0].kill()
    before = epochs(search.events())
    assert search.wait_for(lambda events: epochs(events) > before + 2)
    search.kill()
    wait_until_nobody_works()
    search = search_on(cluster, root, "slow")
    code, out, err = search.finish()
    assert code == 0, err
    assert "continuing slow-1" in out
    study, client, parent, runs = agrees(root, "slow-1")
    assert len(study.trials) == 3  # each goes on as itself
    note("an actor killed, then the search", 2, study, client, runs, "")
    best_model_scores_what_is_recorded(study, client, parent, runs)
    wait_until_nobody_works()


def test_a_node_that_was_given_up_and_comes_back_changes_nothing(tmp_path, cluster, note):
    node = cluster.add()
    root = make_project(tmp_path, slow=FOUR)
    search = search_on(cluster, root, "slow", workers="ray:4")
    name = node.node_id[:4]
    assert search.wait_for(lambda events: name in nodes_at_work(search) and epochs(events) > 4)
    suspended = cluster.suspend(node)
    try:
        assert search.wait_for(lambda events: any(e.get("reason") == "lost" for e in events))
    finally:
        for process in suspended:
            if process.is_running():
                process.send_signal(signal.SIGCONT)
    code, _, err = search.finish()
    cluster.remove(node)
    assert code == 0, err
    study, client, parent, runs = agrees(root, "slow-1")
    assert sum(is_lost(trial) for trial in study.trials) == 1
    note("a node suspended for longer than Ray waits", 1, study, client, runs, "")
    best_model_scores_what_is_recorded(study, client, parent, runs)
    wait_until_nobody_works()


def test_postgresql_restarts_under_a_search_on_a_cluster(tmp_path, cluster, note):
    with Postgres() as server:
        storage = server.new_database()
        root = make_project(tmp_path, slow=SLOW)
        search = search_on(cluster, root, "slow", "--storage", storage)
        assert search.wait_for(lambda events: epochs(events) > 2)
        server.pg_ctl("stop", "-m", "fast")
        time.sleep(8)
        server.pg_ctl("start")
        code, out, err = search.finish()
        assert code == 0, err
        assert PASSWORD not in out + err
        study, client, parent, runs = agrees(root, "slow-1", storage=storage)
        assert len(study.trials) == 3
        note("PostgreSQL away for 8 s, on a cluster", 1, study, client, runs, "")
        best_model_scores_what_is_recorded(study, client, parent, runs)


def test_a_node_that_joins_gets_work_and_one_that_leaves_is_not_missed(tmp_path, cluster):
    six = "trials=6, epochs=12, baseline=[{'trap': 'slow', 'rate': 0.01 * n} for n in range(1, 7)]"
    root = make_project(tmp_path, slow=six)
    search = search_on(cluster, root, "slow", workers="ray:4")
    assert search.wait_for(lambda events: epochs(events) > 2), search.finish()
    node = cluster.add()
    assert search.wait_for(lambda events: node.node_id[:4] in nodes_at_work(search))
    cluster.remove(node)
    code, out, err = search.finish()
    assert code == 0, err
    assert "3 of 4 workers fit on" in out
    study, *_ = agrees(root, "slow-1")
    lost = [trial for trial in study.trials if is_lost(trial)]
    assert len(lost) <= 1  # the one that was running on the node, if one was
    assert all("deaths" not in trial.user_attrs for trial in study.trials)
    wait_until_nobody_works()


def test_a_grid_on_three_nodes_has_each_point_once_and_the_command_ends(tmp_path, cluster):
    """What is skipped, doubled or left hanging in KerasTuner issues 344, 596 and 915."""
    grid = (
        "space=smallest, trials=40, epochs=1, baseline=(), sampler=partial(GridSampler, "
        "{'rate': [0.001 * n for n in range(1, 25)]})"
    )
    root = make_project(tmp_path, grid=grid)
    file = root / "experiments/grid.py"
    file.write_text(
        "from functools import partial\nfrom optuna.samplers import GridSampler\n"
        + file.read_text()
    )
    code, _, err = search_on(cluster, root, "grid").finish()
    assert code == 0, err
    study = load_study(root, "grid-1")
    tried = [trial.params["rate"] for trial in study.trials if trial.state in FINE]
    assert len(tried) == len(set(tried)) == 24
    assert all(trial.state.is_finished() for trial in study.trials)
    wait_until_nobody_works()
