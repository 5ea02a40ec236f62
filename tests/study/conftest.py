"""What the tests of studies share."""

import pytest


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The URL of an empty storage. The working directory is a project with an empty `mlruns`."""
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/optuna.db"
