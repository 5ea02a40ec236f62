"""The timeline, and the journals that it is drawn from."""

import json

import numpy as np
from made_study import (
    write_journal,
)
from matplotlib.collections import PolyCollection

from mnist_cnn.report import history
from mnist_cnn.report.timeline import timeline


def test_parallel_runs_are_in_separate_rows_and_pauses_are_cut_out(tmp_path):
    for number, minutes in enumerate([[(0, 4)], [(1, 3), (600, 604)], [(4, 6)], [(602, 605)]]):
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(tmp_path / f"trial-{number}", tags, minutes)
    figure = timeline(history.run_histories(tmp_path))
    axes = figure.axes[0]
    boxes = [p.get_extents() for c in axes.collections if isinstance(c, PolyCollection)
             for p in c.get_paths()]  # fmt: skip
    found = sorted((round(box.ymin + 0.38), box.xmin, box.xmax) for box in boxes)
    expected = [(0, 0, 4), (0, 4, 6), (0, 6, 10), (1, 1, 3), (1, 8, 11)]
    assert np.allclose(found, expected)
    assert [text.get_text() for text in axes.texts if "pause" in text.get_text()] == [
        "pause, 10 hours"
    ]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["complete (4)", "interrupted (1)"]
    assert "(minutes)" in axes.get_xlabel()


def test_a_run_is_in_the_row_of_its_worker(tmp_path):
    for number, worker in enumerate(["2", "1", "2"]):
        folder = tmp_path / f"trial-{number}"
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(folder, tags, [(3 * number, 3 * number + 3)], worker=worker)
    axes = timeline(history.run_histories(tmp_path)).axes[0]
    rows = {
        round(text.get_position()[1]): text.get_text() for text in axes.texts if text.get_text()
    }
    assert axes.get_ylabel() == "worker"
    assert rows == {0: "1", 1: "2"}  # one after another, and yet not in one row


def test_a_killed_run_ends_with_its_last_event(tmp_path):
    tags = {"kind": "trial", "optuna.trial": "4"}
    write_journal(tmp_path / "trial-4", tags, [(0, 2)], values={"a": 1}, epochs=[{"loss": 1.0}] * 2)
    journal = tmp_path / "trial-4" / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    again = [
        dict(events[0], time=events[-1]["time"] + 60_000),
        dict(events[-1], time=events[-1]["time"] + 90_000),
    ]
    later = {"event": "params", "time": again[0]["time"], "params": {"b": 2}}
    lines = [*events[:-1], again[0], later, again[1]]
    journal.write_text("".join(json.dumps(event) + "\n" for event in lines))
    (tmp_path / "trial-5").mkdir()  # lost before it wrote anything
    (run,) = history.run_histories(tmp_path)
    assert [interval.end - interval.start for interval in run.intervals] == [0, 30]
    assert run.seconds == 30 and run.values == {"a": 1, "b": 2} and set(run.epochs) == {1, 2}
