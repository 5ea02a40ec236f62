"""What a study is survives power cuts, broken environments and storages that go away."""

import os
import signal
import time

import pytest
from faults import (
    Search,
    agrees,
    best_model_scores_what_is_recorded,
    make_project,
)
from PIL import Image
from power import Disk

from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import DROPPED_FILE, MODEL_FILE
from mnist_cnn.retrain import recorded
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
