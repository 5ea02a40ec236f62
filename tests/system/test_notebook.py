"""A notebook in Jupyter's own kernel: a mistake, a search, and what is done with its result."""

import nbformat
import pytest
from nbclient import NotebookClient
from tiny import make_tiny

MISTAKE = 'import mnist_cnn\nmnist_cnn.search("nope")'
SEARCH = 'result = mnist_cnn.search("tiny")'
USE = "result.best_hyperparameters(), result.best_model().output_shape, result.run_id is not None"


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

    assert {output.name for output in search.outputs} == {"stdout"}
    lines = "".join(output.text for output in search.outputs).splitlines()
    assert lines[0] == "new study tiny-1"
    assert "trial 000" in lines[1] and lines[1].endswith("the best so far")
    assert len(lines) < 20 and not any("\x1b" in line or "\r" in line for line in lines)

    (values,) = (one.data["text/plain"] for one in use.outputs if "data" in one)
    assert values.startswith("({'units': 16, 'rate': 0.001") and values.endswith("10), True)")
