"""What a study is survives power cuts, broken environments and storages that go away."""

import os
import signal
import sqlite3
import time
from contextlib import closing

import optuna
import pytest
from faults import (
    Search,
    agrees,
    best_model_scores_what_is_recorded,
    load_study,
    make_project,
    nothing_runs,
)
from optuna.trial import TrialState
from PIL import Image
from postgres import PASSWORD, Postgres
from power import Disk

from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.retrain import recorded
from mnist_cnn.study.study import OF
from mnist_cnn.tracking.journal import Journal

pytestmark = pytest.mark.slow


def ends(events):
    return sum(event["event"] == "end" for event in events)


def journals(root, pattern):
    """The journals of the runs whose folders match."""
    return [Journal(folder) for folder in sorted(root.glob(f"mlruns/checkpoints/{pattern}"))]


# Power cuts


def test_a_power_cut_at_an_end_leaves_whole_what_had_ended(tmp_path, note):
    root = make_project(
        tmp_path,
        short="space=harmless, trials=3, epochs=2, baseline=[{}] * 3, "
        "confirm=Confirm(trials=2, seeds=1, max_seeds=1)",
    )
    with Disk(root / "mlruns") as disk:
        for wanted in (1, 3, 4):  # the fourth is a confirmation's
            search = Search(root, experiment="short")
            assert search.wait_for(lambda events, n=wanted: ends(events) >= n), search.finish()
            time.sleep(0.1)  # the event is flushed, and everything before it has to be
            os.killpg(search.process.pid, signal.SIGSTOP)
            remains = disk.remains()
            search.kill()
            disk.come_back(remains)
            assert whole_ends(root, "short-1/*-*") >= wanted
        began = time.monotonic()
        code, out, err = Search(root, experiment="short").finish()
        assert code == 0, err
        assert "damaged" not in out
        study, client, parent, runs = agrees(root, "short-1")
        recovery = f"{time.monotonic() - began:.1f} s from the command to the end of the search"
        note("power cut at an end", 4, study, client, runs, recovery)
        best_model_scores_what_is_recorded(study, client, parent, runs)
        # Now that the search has ended, all that MLflow was given is safe as well.
        disk.come_back(disk.remains())
        for folder in ("artifacts", "checkpoints/short-1"):
            files = [path for path in (root / "mlruns" / folder).rglob("*.*") if path.is_file()]
            assert [path for path in files if not path.stat().st_size] == []
        best_model_scores_what_is_recorded(study, client, parent, runs)


def whole_ends(root, pattern):
    """Assert that the files of the runs that ended are whole; returns how many runs ended."""
    ended = [journal for journal in journals(root, pattern) if journal.ended]
    for journal in ended:
        assert model_digest(journal.folder / MODEL_FILE) == journal.end["model"]
        Image.open(journal.folder / "curves.png").load()
        assert recorded(journal.folder).sources  # the modules, by their digests
    return len(ended)


def test_a_damaged_model_is_trained_again_and_one_that_comes_out_otherwise_is_dropped(tmp_path):
    root = make_project(
        tmp_path,
        steady="space=harmless, trials=3, epochs=2, "
        "baseline=[{'rate': 0.03}, {'rate': 0.01}, {'rate': 0.001}], "
        "confirm=Confirm(trials=2, seeds=1, max_seeds=1)",
    )
    code, _, err = Search(root, experiment="steady").finish()
    assert code == 0, err
    study, _, parent, _ = agrees(root, "steady-1")
    best = int(parent.data.tags["best.trial"])
    best_runs = journals(root, f"steady-1/*-{best:05d}*")
    before = study.trials
    for journal in best_runs:
        os.truncate(journal.folder / MODEL_FILE, 0)
    code, out, err = Search(
        root, "--study", "steady-1", "--trials", "4", experiment="steady"
    ).finish()
    assert code == 0, err
    for journal in best_runs:
        line = f"{journal.folder.name}: its model is damaged; training it again"
        assert line in out
        assert model_digest(journal.folder / MODEL_FILE) == journal.end["model"]
    study, *found = agrees(root, "steady-1")
    assert study.trials[:3] == before
    best_model_scores_what_is_recorded(study, *found)
    assert parent_of(found).data.tags["best.trial"] == str(best)

    # What was trained on another seed comes out otherwise.
    for journal in best_runs:
        os.truncate(journal.folder / MODEL_FILE, 0)
        file = journal.folder / "journal.jsonl"
        seed = recorded(journal.folder).recipe["seed"]
        file.write_text(file.read_text().replace(rf"\"seed\": {seed}", rf"\"seed\": {seed + 1}"))
    code, out, err = Search(
        root, "--study", "steady-1", "--trials", "5", experiment="steady"
    ).finish()
    assert code == 0, err
    for journal in best_runs:
        reason = "its training gave a different model; it is no longer a candidate"
        assert f"{journal.folder.name}: {reason}" in out
        assert (journal.folder / DROPPED_FILE).exists()
    study, *found = agrees(root, "steady-1", winners=2)
    assert study.trials[:3] == before
    assert parent_of(found).data.tags["best.trial"] != str(best)
    best_model_scores_what_is_recorded(study, *found)


def parent_of(found):
    _, parent, _ = found
    return parent


# A confirmation is a trial


def test_a_worker_killed_in_a_confirmation_changes_neither_the_scores_nor_the_winner(
    tmp_path, note
):
    slow = (
        "trials=2, epochs=4, confirm=Confirm(trials=2, seeds=1, max_seeds=1), "
        "baseline=[{'trap': 'slow', 'rate': 0.03}, {'trap': 'slow', 'rate': 0.003}]"
    )
    roots = [make_project(tmp_path / name, slow=slow) for name in ("disturbed", "undisturbed")]
    searches = [Search(root, experiment="slow") for root in roots]
    disturbed = roots[0]

    def in_the_midst(_):
        return any(
            journal.last_step >= 2 for journal in journals(disturbed, "slow-1/confirmation-*")
        )

    assert searches[0].wait_for(in_the_midst), searches[0].finish()
    (worker,) = searches[0].workers()
    os.kill(worker, signal.SIGKILL)
    began = time.monotonic()
    results = []
    for root, search in zip(roots, searches, strict=True):
        code, _, err = search.finish()
        assert code == 0, err
        study, client, parent, runs = agrees(root, "slow-1")
        if root is disturbed:
            recovery = f"{time.monotonic() - began:.1f} s from the kill to the end of the search"
            note("worker killed in a confirmation", 1, study, client, runs, recovery)
        confirmations = load_study(root, "slow-1.confirm").trials
        assert all(trial.state == TrialState.COMPLETE for trial in confirmations)
        deaths = [trial.user_attrs.get("deaths", 0) for trial in confirmations]
        assert deaths == ([1, 0] if root is disturbed else [0, 0])
        scores = {trial.user_attrs[OF]: trial.values for trial in confirmations}
        results.append((parent.data.tags["best.trial"], scores))
    assert results[0] == results[1]


# Between two steps


def test_a_search_killed_between_an_end_and_telling_it_tells_it_at_its_next_start(tmp_path, note):
    root = make_project(
        tmp_path,
        slow="trials=2, epochs=3, baseline=[{'trap': 'slow'}] * 2, "
        "confirm=Confirm(trials=1, seeds=1, max_seeds=1)",
    )
    for pattern in ("trial-00000", "trial-00001", "confirmation-*"):
        search = Search(root, experiment="slow")
        assert search.wait_for(
            lambda _, p=pattern: any(j.last_step for j in journals(root, f"slow-1/{p}"))
        ), search.finish()
        search.process.send_signal(signal.SIGSTOP)  # it tells nothing; its worker trains on
        assert search.wait_for(
            lambda _, p=pattern: any(j.ended for j in journals(root, f"slow-1/{p}"))
        )
        search.kill()
        name = "slow-1.confirm" if "confirmation" in pattern else "slow-1"
        states = [trial.state for trial in load_study(root, name).trials]
        assert states.count(TrialState.RUNNING) == 1
    code, out, err = Search(root, experiment="slow").finish()
    assert code == 0, err
    (confirmation,) = journals(root, "slow-1/confirmation-*")
    assert f"{confirmation.folder.name} had ended; told Optuna" in out
    study, client, parent, runs = agrees(root, "slow-1")
    note("search killed between an end and telling it", 3, study, client, runs, "")
    assert len(study.trials) == 2
    for trial, journal in zip(study.trials, journals(root, "slow-1/trial-*"), strict=True):
        assert trial.values == journal.end["values"]
        assert journal.times_begun == 1
    best_model_scores_what_is_recorded(study, client, parent, runs)


def test_a_search_killed_between_enqueueing_a_confirmation_and_asking_makes_it_once(tmp_path, note):
    root = make_project(
        tmp_path,
        short="space=smallest, trials=3, epochs=1, epoch_images=300, "
        "baseline=[{'rate': 0.1}, {'rate': 0.03}, {'rate': 0.01}], "
        "confirm=Confirm(trials=3, seeds=4, max_seeds=4)",
    )
    kills = 0
    for _ in range(4):
        search = Search(root, experiment="short")
        if not stopped_while_one_waits(search, root / "mlruns/optuna.db"):
            break
        search.kill()
        kills += 1
    assert kills, "the search was never stopped at that moment"
    code, _, err = Search(root, "--study", "short-1", experiment="short", workers=2).finish()
    if code:  # the last one was not killed, and finished it
        assert "is finished" in err
    study, client, parent, runs = agrees(root, "short-1")
    note("search killed between enqueueing and asking", kills, study, client, runs, "")
    confirmations = load_study(root, "short-1.confirm").trials
    assert [trial.state for trial in confirmations] == [TrialState.COMPLETE] * 12
    best_model_scores_what_is_recorded(study, client, parent, runs)


WAITING = """
SELECT count(*) FROM trials JOIN studies USING (study_id)
WHERE study_name LIKE '%.confirm' AND state = 'WAITING'
"""


def stopped_while_one_waits(search, database):
    """Stop the search while a confirmation waits; False if it ended before that was seen."""
    while search.process.poll() is None and not database.exists():
        time.sleep(0.1)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while search.process.poll() is None:
            try:
                if not connection.execute(WAITING).fetchone()[0]:
                    continue
            except sqlite3.OperationalError:  # the tables are being made
                continue
            search.process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)
            if connection.execute(WAITING).fetchone()[0]:
                return True
            search.process.send_signal(signal.SIGCONT)
    return False


# Two places


def test_a_search_in_another_namespace_is_refused_while_the_first_is_stopped(tmp_path, note):
    within = ("unshare", "--pid", "--fork", "--mount-proc")
    if os.system(f"{' '.join(within)} true 2>/dev/null"):
        pytest.skip("no namespace of processes can be made here")
    slow = "trials=2, epochs=6, baseline=[{'trap': 'slow'}] * 2"
    one, other = (make_project(tmp_path / name, slow=slow) for name in ("one", "other"))
    storage = f"sqlite:///{one}/mlruns/optuna.db"
    first = Search(one, experiment="slow", within=within)
    first.wait_for_epoch()
    os.killpg(first.process.pid, signal.SIGSTOP)
    until = time.monotonic() + 20
    refusals = 0
    while time.monotonic() < until:
        code, _, err = Search(
            other, "--storage", storage, experiment="slow", within=within
        ).finish()
        assert code == 1 and len(err.splitlines()) == 1
        assert "another search is running on slow-1" in err
        refusals += 1
    os.killpg(first.process.pid, signal.SIGCONT)
    code, _, err = first.finish()
    assert code == 0, err
    study, client, parent, runs = agrees(one, "slow-1")
    note("two namespaces, the first stopped", refusals, study, client, runs, "")
    best_model_scores_what_is_recorded(study, client, parent, runs)
    assert all("deaths" not in trial.user_attrs for trial in study.trials)
    assert [journal.times_begun for journal in journals(one, "slow-1/trial-*")] == [1, 1]
    assert optuna.get_all_study_names(storage) == ["slow-1", "slow-1.confirm"]


# A broken environment

BREAKS = {
    # A library that cannot be imported any more.
    "unimportable": ("sys.modules['keras'] = None", "keras"),
    # A process that dies before it does anything.
    "dying": ("os._exit(7)", "its process exited with 7"),
}

SITE = """
import os, sys
from pathlib import Path

if Path("broken").exists() and any("spawn_main" in text for text in sys.orig_argv):
    {deed}
"""


@pytest.mark.parametrize("kind", BREAKS)
def test_an_environment_that_breaks_stops_the_search_and_fails_no_trial(tmp_path, note, kind):
    deed, reason = BREAKS[kind]
    root = make_project(tmp_path, slow="trials=4, epochs=4, baseline=[{'trap': 'slow'}] * 4")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(deed=deed))
    path = os.pathsep.join((str(site), os.environ.get("PYTHONPATH", "")))
    search = Search(root, experiment="slow", workers=2, env={"PYTHONPATH": path})
    search.wait_for_epoch()
    (root / "broken").touch()
    for worker in search.workers():  # new ones take their places
        os.kill(worker, signal.SIGKILL)
    code, _, err = search.finish()
    assert code == 1
    (line,) = err.splitlines()
    assert "2 workers in a row ended before their trial began" in line and reason in line
    assert "type the same command again" in line
    states = {trial.state for trial in load_study(root, "slow-1").trials}
    assert states == {TrialState.WAITING}
    nothing_runs(root, "slow-1")
    (root / "broken").unlink()
    code, _, err = Search(root, experiment="slow", workers=2).finish()
    assert code == 0, err
    study, client, parent, runs = agrees(root, "slow-1")
    note(f"the environment breaks: {kind}", 1, study, client, runs, "")
    assert all(trial.state != TrialState.FAIL for trial in study.trials)
    assert max(trial.user_attrs.get("deaths", 0) for trial in study.trials) == 1  # the kill's
    best_model_scores_what_is_recorded(study, client, parent, runs)


def test_a_project_that_breaks_stops_the_search_and_fails_no_trial(tmp_path):
    root = make_project(tmp_path, slow="trials=4, epochs=4, baseline=[{'trap': 'slow'}] * 4")
    search = Search(root, experiment="slow", workers=2)
    search.wait_for_epoch()
    space = root / "search_spaces/traps.py"
    whole = space.read_text()
    space.write_text(f"import a_library_that_is_not_there\n{whole}")
    for worker in search.workers():
        os.kill(worker, signal.SIGKILL)
    code, _, err = search.finish()
    assert code == 1
    (line,) = err.splitlines()
    assert "No module named 'a_library_that_is_not_there'" in line
    assert {trial.state for trial in load_study(root, "slow-1").trials} == {TrialState.WAITING}
    nothing_runs(root, "slow-1")
    space.write_text(whole)
    code, _, err = Search(root, experiment="slow", workers=2).finish()
    assert code == 0, err
    best_model_scores_what_is_recorded(*agrees(root, "slow-1"))


# PostgreSQL


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture
def storage(postgres):
    """A database with nothing in it."""
    return postgres.new_database()


def test_a_search_in_postgresql_excludes_others_and_goes_on_after_a_kill(tmp_path, storage, note):
    slow = "trials=2, epochs=8, baseline=[{'trap': 'slow'}] * 2"
    one, other = (make_project(tmp_path / name, slow=slow) for name in ("one", "other"))
    first = Search(one, "--storage", storage, experiment="slow")
    first.wait_for_epoch()
    for stop in (False, True):
        if stop:
            os.killpg(first.process.pid, signal.SIGSTOP)
        code, out, err = Search(other, "--storage", storage, experiment="slow").finish()
        assert code == 1 and len(err.splitlines()) == 1
        assert "another search is running on slow-1" in err
        assert PASSWORD not in out + err
    first.kill()
    second = Search(one, "--storage", storage, experiment="slow")
    seconds = second.wait_for_epoch()
    code, out, err = second.finish()
    assert code == 0, err
    study, client, parent, runs = agrees(one, "slow-1", storage=storage)
    recovery = f"{seconds:.1f} s from the command to the next epoch"
    note("PostgreSQL: search stopped, then killed", 1, study, client, runs, recovery)
    best_model_scores_what_is_recorded(study, client, parent, runs)
    assert PASSWORD not in out + err
    assert "deaths" not in study.trials[0].user_attrs


@pytest.mark.parametrize("away", [0, 8])
def test_a_postgresql_server_that_goes_away_costs_nothing(tmp_path, postgres, storage, note, away):
    root = make_project(tmp_path, slow="trials=2, epochs=8, baseline=[{'trap': 'slow'}] * 2")
    search = Search(root, "--storage", storage, experiment="slow")
    search.wait_for_epoch()
    postgres.pg_ctl("stop", "-m", "fast")
    time.sleep(away)
    postgres.pg_ctl("start")
    code, out, err = search.finish()
    assert PASSWORD not in out + err
    assert code == 0, err
    study, client, parent, runs = agrees(root, "slow-1", storage=storage)
    note(f"PostgreSQL's server away for {away} s", 1, study, client, runs, "")
    best_model_scores_what_is_recorded(study, client, parent, runs)


def test_a_search_whose_lock_was_lost_stops_when_another_has_the_study(tmp_path, postgres, storage):
    slow = "trials=2, epochs=8, baseline=[{'trap': 'slow'}] * 2"
    one, other = (make_project(tmp_path / name, slow=slow) for name in ("one", "other"))
    first = Search(one, "--storage", storage, experiment="slow")
    first.wait_for_epoch()
    os.killpg(first.process.pid, signal.SIGSTOP)
    postgres.pg_ctl("restart", "-m", "fast")  # the lock goes with the connection
    second = Search(other, "--storage", storage, experiment="slow")
    second.wait_for_epoch()
    os.killpg(first.process.pid, signal.SIGCONT)
    code, _, err = first.finish()
    assert code == 1
    (line,) = err.splitlines()
    assert "another search is running on slow-1" in line
    code, _, err = second.finish()
    assert code == 0, err
    best_model_scores_what_is_recorded(*agrees(other, "slow-1", storage=storage))


def test_a_password_is_never_printed(tmp_path, postgres):
    root = make_project(tmp_path)
    secret = "not-a-good-password"
    wrong = postgres.url(secret)
    elsewhere = wrong.replace(f":{postgres.port}", ":1")
    for url in (wrong, elsewhere, wrong.replace("psycopg", "nothing"), wrong.replace("+", "~")):
        code, out, err = Search(root, "--storage", url).finish()
        assert code == 2
        (line,) = err.splitlines()
        assert "cannot open the storage" in line
        assert secret not in out + err
    files = [path for path in (root / "mlruns").rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for path in files)
