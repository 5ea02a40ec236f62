"""`make bench`: what an interrupted benchmark has measured is kept, and the table says it."""

import copy
import json

import pytest

from benchmarks import bench, comparison
from benchmarks.peers import METHODS, ours
from benchmarks.peers.recipe import Log
from mnist_cnn.tracking.journal import Journal

ROWS = [
    ("mnist-cnn", 0, 0.0, "", 0.0, "code"),
    ("mnist-cnn", 0, 12.5, "trial-00000", 0.9712, "code"),
    ("mnist-cnn", 0, 20.0, "trial-00001", 0.992, "code"),
    ("mnist-cnn", 1, 0.0, "", 0.0, "code"),
    ("mnist-cnn", 1, 15.0, "trial-00000", 0.98, "code"),
    ("mnist-cnn", 1, 30.0, "trial-00000", 0.991, "code"),
    ("mnist-cnn", 2, 0.0, "", 0.0, "code"),
    ("KerasTuner Hyperband", 0, 0.0, "", 0.0, "code"),
    ("KerasTuner Hyperband", 0, 100.0, "7", 0.986, "code"),
]
SUBJECTS = dict.fromkeys(METHODS, "code")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    return tmp_path


def test_what_was_measured_is_read_again_and_other_seconds_are_not(results):
    assert bench.measured(300) == []
    bench.write(ROWS, 300, SUBJECTS)
    assert bench.measured(300) == ROWS
    assert bench.measured(60) == []


def test_runs_of_other_code_are_kept_and_count_for_nothing(results):
    other = [(*row[:-1], "other code") for row in ROWS if row[0] == "KerasTuner Hyperband"]
    ours = [row for row in ROWS if row[0] == "mnist-cnn"]
    bench.write([*ours, *other], 300, SUBJECTS)
    assert bench.measured(300) == [*ours, *other]
    assert "| KerasTuner Hyperband |" not in (results / "table_300s.md").read_text()


def test_code_that_no_peer_uses_matters_to_this_projects_own_runs_alone(results, monkeypatch):
    monkeypatch.setattr(bench, "ROOT", results)
    (results / "requirements.lock").touch()
    for folder in ("datasets", "training", "search_process"):
        (results / "mnist_cnn" / folder).mkdir(parents=True)
    (results / "search_spaces").mkdir()

    def change(file):
        before = [bench.subject(module) for module in ("ours", "optuna_search")]
        (results / file).write_text("epochs = 9")
        after = [bench.subject(module) for module in ("ours", "optuna_search")]
        return [old != new for old, new in zip(before, after, strict=True)]

    assert change("mnist_cnn/search_process/run.py") == [True, False]
    assert change("mnist_cnn/training/fit.py") == [True, False]
    for used in ("datasets/images.py", "training/batches.py", "hyperparameters.py"):
        assert change(f"mnist_cnn/{used}") == [True, True]
    assert change("search_spaces/cnn.py") == [True, True]
    assert change("requirements.lock") == [True, True]


def test_the_table_has_medians_over_all_seeds_and_how_many_came_so_far(results):
    bench.write(ROWS, 300, SUBJECTS)
    lines = (results / "table_300s.md").read_text().splitlines()
    ours = next(line for line in lines if line.startswith("| mnist-cnn |")).split(" | ")
    assert ours[1:4] == ["3", "1", "2"]  # seeds, trials, epochs
    assert ours[4] == "0.9910 (0.0000 to 0.9920)"
    assert ours[5:7] == ["30 (2 of 3)", "30 (2 of 3)"]
    assert ours[7] == "> 300 (1 of 3)"  # the median seed never came so far
    assert ours[8] == "- |"
    peer = next(line for line in lines if line.startswith("| KerasTuner Hyperband |"))
    assert peer == "| KerasTuner Hyperband | 1 | 1 | 1 | 0.9860 | 100 | - | - | - |"
    assert (results / "incumbent_300s.png").stat().st_size > 10_000


def test_ratios_are_seed_by_seed_and_a_bound_where_one_of_the_two_never_came(results):
    bench.write(ROWS, 300, SUBJECTS)
    lines = (results / "table_300s.md").read_text().splitlines()
    assert lines[-1] == "| KerasTuner Hyperband | 5.0 | > 15.0 | > 15.0 | - |"
    ours = {0: [(10.0, "0", 0.99)], 1: [(20.0, "0", 0.99)], 2: [(0.0, "", 0.0)]}
    theirs = {0: [(40.0, "0", 0.99)], 1: [(21.0, "0", 0.98)], 2: [(30.0, "0", 0.99)]}
    assert comparison.ratio(ours, theirs, 0.985, 60) == "> 3.0 (< 0.5 to 4.0)"
    assert comparison.ratio({2: ours[2]}, theirs, 0.985, 60) == "< 0.5"


def test_a_method_that_ends_before_its_time_has_failed_and_says_why():
    with pytest.raises(bench.RunFailed, match="invalid choice: 'no_such_method'"):
        bench.run(("ours", "no_such_method"), seed=0, seconds=60)


def test_validated_epochs_of_this_project_are_logged_once(tmp_path):
    first, second = (tmp_path / f"mlruns/checkpoints/bench-1/trial-0000{n}" for n in (0, 1))
    for folder in (first, second):  # the second continues the first
        Journal(folder).metrics(1, {"loss": 0.5, "val_accuracy": 0.9})
    Journal(second).metrics(2, {"loss": 0.4})
    Journal(second).metrics(3, {"loss": 0.3, "val_accuracy": 0.95})
    log = tmp_path / "log.jsonl"
    ours.follow(tmp_path, log, {}, set())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["trial"], line["val_accuracy"]) for line in lines] == [
        ("00000", 0.9),
        ("00001", 0.95),
    ]


def test_every_training_is_a_trial_though_keras_tuner_copies_the_callback(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    for _ in range(2):
        training = copy.deepcopy(log)
        training.on_train_begin()
        for accuracy in (0.5, 0.6):
            training.on_epoch_end(0, {"val_accuracy": accuracy})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["val_accuracy"] for line in lines] == [0.5, 0.6, 0.5, 0.6]
    assert lines[0]["trial"] == lines[1]["trial"] != lines[2]["trial"] == lines[3]["trial"]
