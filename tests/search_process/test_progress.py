"""What a terminal shows of a running search."""

import io
import math
import re
import time

import pytest
from rich.console import Console, Group
from studies import started

from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.search_process.progress import Progress
from mnist_cnn.study.outcome import write_end
from mnist_cnn.tracking.journal import Journal

PHASES = {"exploring": 250.9, "confirming": 200.9, "report": 8.9}


@pytest.fixture
def shown(tmp_path):
    """Returns the lines of the live view on a terminal of a width, of a search with one trial."""

    def lines(width, phases, gone=0.0):
        console = Console(file=io.StringIO(), width=width)
        progress = Progress(console, [Maximize("val_accuracy")], 400, time.monotonic())
        progress.done, progress.best = 37, (0.9871, "trial 012")
        folder = tmp_path / f"trial-{width}"
        progress.follow(folder, 16)
        journal = started(folder)
        journal.metrics(3, {"loss": 0.1, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95})
        progress.update()
        progress.expect(phases)
        progress._expected -= gone
        console.print(Group(*progress._lines()))
        return console.file.getvalue().splitlines()

    return lines


@pytest.mark.parametrize("width", [60, 100, 200])
def test_each_line_fits_and_says_first_what_matters(shown, width):
    head, phases, trial, best = shown(width, PHASES)
    assert max(map(len, (head, phases, trial, best))) <= width
    assert head.endswith("37 of 400 configurations tried")
    assert re.fullmatch(r"  exploring about 4:\d\d, then confirming 3:20, report 0:08", phases)
    assert "epoch 3 of 16 · val_accuracy 0.9500" in trial
    assert best == "  best: val_accuracy 0.9871, trial 012"


def test_only_the_time_of_the_current_phase_runs(shown):
    assert shown(80, PHASES, gone=9999)[1] == (
        "  exploring about 0:00, then confirming 3:20, report 0:08"
    )


def test_what_nobody_knows_is_not_guessed(shown):
    phases = {"exploring": math.nan, "confirming": math.inf, "report": 8.9}
    assert shown(80, phases)[1] == "  exploring, then confirming, report 0:08"


def test_the_beginning_of_a_phase_is_a_line_of_its_own():
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(console, [Maximize("val_accuracy")], 400, time.monotonic())
    progress.begin({"confirming": 200.9, "report": 8.9})
    progress.begin({"report": math.nan})
    assert console.file.getvalue().splitlines() == [
        "0:00  training the best again on fresh seeds, about 3:20",
        "0:00  writing the report",
    ]


@pytest.fixture
def progress(tmp_path):
    """Follows the run of `tmp_path`, and prints to a file."""
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(console, [Maximize("val_accuracy")], 400, time.monotonic())
    Journal(tmp_path).write("start", name="trial 000", tags={"kind": "trial"})
    return progress


def end_of(progress, folder, state, **fields):
    """The line that is printed when a run ends."""
    Journal(folder).write("start", name="trial 000", tags={"kind": "trial"})
    write_end(Journal(folder), state, **fields)
    progress.update()
    return progress.console.file.getvalue()


def test_what_breaks_a_constraint_is_not_the_best_so_far(progress, tmp_path):
    progress.follow(tmp_path, 16)
    summary, reason = {"best_val_accuracy": 0.99}, "train_seconds 30, not at most 20"
    line = end_of(progress, tmp_path, "COMPLETE", summary=summary, reason=reason)
    assert line == f"0:00  trial 000: val_accuracy 0.9900, but {reason}\n"
    assert progress.best is None


def test_with_several_objectives_all_are_shown_and_no_trial_is_the_best(progress, tmp_path):
    progress.objectives = [*progress.objectives, Minimize("parameters")]
    progress.follow(tmp_path, 16)
    summary = {"best_val_accuracy": 0.99, "parameters": 1476.0}
    line = end_of(progress, tmp_path, "COMPLETE", summary=summary)
    assert line == "0:00  trial 000: val_accuracy 0.9900, parameters 1,476\n"
    assert progress.best is None


def test_the_accuracy_is_beside_another_objective(progress, tmp_path):
    progress.objectives = [Minimize("val_loss")]
    progress.follow(tmp_path, 16)
    Journal(tmp_path).metrics(1, {"val_loss": 0.125, "val_accuracy": 0.5})
    line = end_of(progress, tmp_path, "PRUNED", stop="rung")
    assert line == "0:00  trial 000: after epoch 1: val_loss 0.1250, val_accuracy 0.5000\n"
    progress.follow(tmp_path, 16)
    lines = end_of(progress, tmp_path, "COMPLETE", summary={"best_val_loss": 0.0123})
    assert lines.endswith("trial 000: val_loss 0.0123, the best so far\n")


def test_an_epoch_without_the_objective(progress, tmp_path):
    progress.follow(tmp_path, 16)
    Journal(tmp_path).metrics(3, {"val_top": 0.5})
    line = end_of(progress, tmp_path, "PRUNED", stop="rung")
    assert line == "0:00  trial 000: after epoch 3: no val_accuracy\n"


def test_the_epochs_before_a_kill_count(progress, tmp_path):
    Journal(tmp_path).metrics(1, {"val_accuracy": 0.5})
    progress.follow(tmp_path, 16)
    line = end_of(progress, tmp_path, "PRUNED", stop="rung")
    assert line == "0:00  trial 000: after epoch 1: val_accuracy 0.5000\n"


def test_what_is_not_trained_is_stopped_before_training(progress, tmp_path):
    Journal(tmp_path).metrics(1, {"val_accuracy": 0.5})
    Journal(tmp_path).anew("its checkpoint is gone")
    progress.follow(tmp_path, 16)
    line = end_of(progress, tmp_path, "PRUNED", reason="parameters 50,000, not at most 20,000")
    assert "trial 000: stopped before training: parameters 50,000" in line


def test_one_word_for_what_did_not_come_to_its_end(tmp_path):
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(console, [Maximize("val_accuracy")], 400, time.monotonic())
    progress.follow(tmp_path / "trial-00000", 16)
    Journal(tmp_path / "trial-00000").write("start", name="trial 000", tags={"kind": "trial"})
    journal = Journal(tmp_path / "trial-00000")
    journal.metrics(2, {"val_accuracy": 0.5})
    tags = {"optuna.state": "PRUNED"}
    journal.write("end", status="KILLED", tags=tags, step=2, metrics={}, stop="pruned")
    progress.update()
    assert (
        console.file.getvalue() == "0:00  trial 000: stopped after epoch 2: val_accuracy 0.5000\n"
    )
