"""`make bench`: what an interrupted benchmark has measured is kept, and the table says it."""

import pytest

from benchmarks import bench

ROWS = [
    ("mnist-cnn", 0, 12.5, "trial-00000", 0.9712),
    ("mnist-cnn", 0, 20.0, "trial-00001", 0.9905),
    ("mnist-cnn", 1, 15.0, "trial-00000", 0.98),
    ("KerasTuner Hyperband", 0, 100.0, "7-1", 0.986),
]


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    return tmp_path


def test_what_was_measured_is_read_again_and_other_seconds_are_not(results):
    assert bench.measured(300) == []
    bench.write(ROWS, 300)
    assert bench.measured(300) == ROWS
    assert bench.measured(60) == []


def test_the_table_has_medians_and_how_many_seeds_came_so_far(results):
    bench.write(ROWS, 300)
    lines = (results / "table.md").read_text().splitlines()
    ours = next(line for line in lines if line.startswith("| mnist-cnn |"))
    best = "0.9852 (0.9800 to 0.9905)"
    assert ours == f"| mnist-cnn | 2 | 2 | 2 | {best} | 20 (1 of 2) | 20 (1 of 2) | - | - |"
    peer = next(line for line in lines if line.startswith("| KerasTuner Hyperband |"))
    assert peer == "| KerasTuner Hyperband | 1 | 1 | 1 | 0.9860 | 100 | - | - | - |"
    assert (results / "incumbent.png").stat().st_size > 10_000
