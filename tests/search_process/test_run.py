"""What a search prints before its first trial."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_study import made_study
from rich.console import Console

from mnist_cnn.search_process import run
from mnist_cnn.study.opening import Opened


def test_brackets_in_a_line_are_printed_as_they_are(tmp_path):
    console = Console(file=io.StringIO(), width=20)
    line = "the files are in /home/ada/project [old]/mlruns"
    run._recover_and_print(Opened(made_study(tmp_path), None, (line,)), console)
    assert line in console.file.getvalue()


@pytest.mark.parametrize("wanted", [1, 2])
def test_baselines_that_will_not_be_tried_are_told(tmp_path, wanted):
    console = Console(file=io.StringIO())
    study = made_study(tmp_path)
    study = replace(study, plan=replace(study.plan, baselines=({"blocks": 2}, {"blocks": 3})))
    request = SimpleNamespace(trials=wanted)
    run._enqueue_first_trials(study, request, None, console)
    told = "note: only 1 of the 2 baselines will be tried\n"
    assert console.file.getvalue() == (told if wanted == 1 else "")
    assert len(study.trials.all()) == wanted
