"""A notebook in Jupyter's own kernel: a mistake, the search that is printed, and its result."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from projects import ROOT
from tiny import make_tiny

pytestmark = pytest.mark.compatibility

MISTAKE = 'import mnist_cnn\nmnist_cnn.search("nope")'
(PRINTED,) = (
    block
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    for block in re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.M | re.S)
    if "mnist_cnn.search(" in block
)
SEARCH = PRINTED.replace('"mnist", trials=20', '"tiny", trials=1')
USE = "result.best_hyperparameters(), model.output_shape, len(table), len(result.run_id)"


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """The cells after they were run, one after the other, in a project's root."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    root = tmp_path / "project"
    root.mkdir()
    make_tiny(root)
    cells = [nbformat.v4.new_code_cell(source) for source in (MISTAKE, SEARCH, USE)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(root)}}
    )
    return client.execute().cells


def test_a_notebook_searches_and_shows_plain_lines(cells):
    mistake, search, use = cells
    (error,) = mistake.outputs
    (line,) = error.traceback
    assert line.startswith("UsageError: there is no experiment 'nope'; valid: ")

    printed = [output for output in search.outputs if output.name == "stdout"]
    lines = "".join(output.text for output in printed).splitlines()
    assert lines[:2] == ["starting the workers", "new study tiny-1"]
    assert "trial 000" in lines[2] and lines[2].endswith("the best so far")
    assert len(lines) < 20 and not any("\x1b" in line or "\r" in line for line in lines)

    (used,) = use.outputs
    assert used.data["text/plain"].startswith("({'units': 16, 'rate': 0.001")
    assert used.data["text/plain"].endswith("}, (None, 10), 1, 32)")
