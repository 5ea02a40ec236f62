"""Replay trusts nothing that MLflow says: what it runs comes from the project's own folders."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest
from projects import copy_database

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import MLRUNS, checkpoints, own_folder
from mnist_cnn.replay import replay
from mnist_cnn.retrain import recorded
from mnist_cnn.tracking.client import connect, experiment_id
from mnist_cnn.tracking.journal import Journal, read

EVIL = "from pathlib import Path\nPath('executed').touch()\n"


@pytest.fixture
def recorded_run(project):
    """The folder of a run outside of mlruns/, whose sources would leave a file behind."""
    folder = project / "elsewhere"
    sources = {"search_spaces.cnn": {"text": EVIL, "is_package": False}}
    journal = Journal(folder)
    recipe = {
        "values": {},
        "seed": 0,
        "epochs": 1,
        "precision": "float32",
        "threads": "1",
        "sources": {"search_spaces.cnn": hashlib.sha256(EVIL.encode()).hexdigest()},
        "versions": {"mnist-cnn": version("mnist-cnn")},
    }
    tags = {"recipe": json.dumps(recipe), "weights.sha256": "0" * 64}
    journal.write("start", name="trial 000", tags=tags, params={})
    journal.metrics(1, {"val_accuracy": 0.5})
    journal.write("end", status="FINISHED", tags={}, step=1, metrics={})
    (folder / "sources.json").write_text(json.dumps(sources))
    run = recorded(folder)
    assert run is not None and run.sources  # it would be run, were it in mlruns/
    return folder


@pytest.fixture
def client(project, monkeypatch):
    copy_database(MLRUNS)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    checkpoints().mkdir(parents=True)
    return connect(MLRUNS)


def run_tagged(client, folder, journal):
    """A finished run in MLflow that says its files are at `journal`."""
    tags = {"kind": "trial", "journal": journal}
    for event in read(folder)[0]:
        tags |= event.get("tags", {})
    run = client.create_run(experiment_id(client, "smoke", MLRUNS), tags=tags).info
    client.set_terminated(run.run_id)
    return run.run_id


@pytest.mark.parametrize("how", ["absolute", "above", "link", "nothing", "root"])
def test_a_run_whose_files_lie_elsewhere_is_refused_and_nothing_of_it_runs(
    client, recorded_run, how
):
    (checkpoints() / "smoke-1").mkdir()
    if how == "link":
        (checkpoints() / "smoke-1/trial-00000").symlink_to(recorded_run)
    tag = {
        "absolute": str(recorded_run),
        "above": f"smoke-1/../../../{recorded_run.name}",
        "nothing": "",
        "root": ".",
    }.get(how, "smoke-1/trial-00000")
    run_id = run_tagged(client, recorded_run, tag)
    with pytest.raises(UserError, match="cannot be replayed"):
        list(replay(run_id))
    assert not Path("executed").exists()


def test_sources_that_were_changed_in_the_projects_own_folder_are_not_run(recorded_run):
    text = (recorded_run / "sources.json").read_text()
    (recorded_run / "sources.json").write_text(text.replace("executed", "executed too"))
    run = recorded(recorded_run)
    assert run is not None and run.sources == {}


@pytest.mark.parametrize("tag", ["a\0b", "x" * 5000, "~", "smoke-1/trial-00000/../../.."])
def test_a_tag_that_is_no_path_of_ours_leads_nowhere(client, tag):
    assert own_folder(tag) is None
