"""`mnist-cnn trials`: the ranking for people, all trials for a spreadsheet and for programs."""

import csv
import io
import json
import math
import os
import subprocess
import sys

import optuna
import pytest
from made_study import COMPLETE, FAIL, PRUNED, finished_trial, made_study, write_journal

from mnist_cnn import cli
from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.report.text import counted
from mnist_cnn.study.storage import open_storage

PARAMS = {"optimizer": "adam", "dense": 1}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Four ended trials and one that waits; the first has no journal, the third was interrupted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    storage = f"sqlite:///{tmp_path}/mlruns/optuna.db"
    study = made_study(
        tmp_path, (Maximize("val_accuracy"), Minimize("parameters")), storage=storage
    )
    study.trials.optuna_study.add_trials(
        [
            finished_trial(0, [0.9, 500.0], params=PARAMS, minutes=(0, 2)),
            finished_trial(1, None, PRUNED, params=PARAMS, reason="behind, after epoch 1"),
            finished_trial(2, [0.95, math.inf], params=PARAMS, minutes=(0, 600)),
            finished_trial(3, None, FAIL, reason='ValueError: "no", said he'),
        ]
    )
    study.trials.optuna_study.enqueue_trial({})
    tags = {"kind": "trial", "optuna.trial": "2"}
    values = {"optimizer": "adam", "dense": 64, "rate": 1e-05}
    write_journal(
        study.trials.folder(2),
        tags,
        [(0, 1), (598, 600)],
        values=values,
        epochs=[{"loss": 1.0}] * 3,
    )
    assert (study.trials.folder(2) / MODEL_FILE).exists()
    return study


def test_one_thing_is_not_several():
    assert [counted(number, "run") for number in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]


def output(capsys, *options):
    with pytest.raises(SystemExit) as ended:
        cli.main(["trials", *options])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_ranking_has_the_best_first_and_whole_configurations(study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "62")
    lines = output(capsys, "--study", study.name).splitlines()
    assert lines[0] == "mnist-1: the best 5 of 5"
    rows = [line.split()[:2] for line in lines if line.split()[:1] and line.split()[0].isdigit()]
    assert rows == [
        ["2", "complete"],
        ["0", "complete"],
        ["1", "stopped"],
        ["3", "failed"],
        ["4", "waiting"],
    ]
    assert "       optimizer=adam, dense=64, rate=1e-05" in lines
    assert '       ValueError: "no", said he' in lines
    assert max(map(len, lines)) <= 62


def test_a_trial_that_violates_a_constraint_comes_after_those_that_could_win(study, capsys):
    broken = "parameters 900, not at most 800"
    study.trials.optuna_study.add_trial(
        finished_trial(5, [0.99, 900.0], reason=broken, violation=0.1)
    )
    shown = output(capsys)
    places = [shown.index(f"\n    {number}  ") for number in (2, 0, 5, 1)]
    assert places == sorted(places) and broken in shown
    with pytest.raises(SystemExit):
        cli.main(["studies"])
    assert "val_accuracy 0.9000" in capsys.readouterr().out


def test_a_study_whose_creation_was_interrupted_has_no_trials_yet(study, capsys):
    optuna.create_study(study_name="mnist-2", storage=open_storage(study.storage))
    with pytest.raises(SystemExit):
        cli.main(["trials"])
    told = "mnist-cnn: mnist-2 has no trials yet; type `make search EXPERIMENT=mnist`\n"
    assert capsys.readouterr().err == told


def test_csv_is_read_by_a_spreadsheet(study, capsys):
    rows = list(csv.DictReader(io.StringIO(output(capsys, "--csv"))))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[2] == {
        "number": "2",
        "state": "COMPLETE",
        "val_accuracy": "0.95",
        "parameters": "",
        "epochs": "3",
        "duration_seconds": "180.0",
        "reason": "",
        "params.optimizer": "adam",
        "params.dense": "64",
        "params.rate": "1e-05",
    }
    assert rows[3]["reason"] == 'ValueError: "no", said he'
    assert rows[1]["reason"] == "behind, after epoch 1"
    assert rows[4]["state"] == "WAITING" and rows[4]["duration_seconds"] == ""


def test_json_is_one_document_with_the_values_that_the_space_saw(study, capsys):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(output(capsys, "--json"), parse_constant=refuse)
    assert document["study"] == "mnist-1"
    assert document["objectives"] == [
        {"metric": "val_accuracy", "direction": "maximize"},
        {"metric": "parameters", "direction": "minimize"},
    ]
    first, pruned, best, failed, waiting = document["trials"]
    assert first == {
        "number": 0,
        "state": COMPLETE.name,
        "values": {"val_accuracy": 0.9, "parameters": 500.0},
        "epochs": 0,
        "duration_seconds": 120.0,
        "params": PARAMS,  # Optuna's, where there is no journal
        "reason": "",
        "repeats": None,
    }
    assert best["params"] == {"optimizer": "adam", "dense": 64, "rate": 1e-05}
    assert best["values"] == {"val_accuracy": 0.95, "parameters": None}
    assert pruned["values"] == failed["values"] == {"val_accuracy": None, "parameters": None}
    assert waiting["duration_seconds"] is None


def test_a_reader_that_has_read_enough_is_no_error():
    """As `| head` is; the interpreter too has nothing to say when it ends."""
    ours, theirs = os.pipe()
    os.close(ours)
    ask = "from mnist_cnn.report.text import print_text; print_text('line\\n' * 100_000)"
    done = subprocess.run([sys.executable, "-c", ask], stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


def test_csv_and_json_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["trials", "--csv", "--json"])
    assert ended.value.code == 2
