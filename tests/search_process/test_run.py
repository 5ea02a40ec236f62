"""What a search prints before its first trial."""

import io

from made_study import made_study
from rich.console import Console

from mnist_cnn.search_process import run
from mnist_cnn.study.opening import Opened


def test_brackets_in_a_line_are_printed_as_they_are(tmp_path):
    console = Console(file=io.StringIO(), width=20)
    line = "the files are in /home/ada/project [old]/mlruns"
    run._recover_and_print(Opened(made_study(tmp_path), None, (line,)), console)
    assert line in console.file.getvalue()
