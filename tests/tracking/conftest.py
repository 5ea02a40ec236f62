"""What the tests of delivery share."""

import pytest

from mnist_cnn.tracking.client import connect


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory):
    """A folder with MLflow's database in it: creating its tables takes seconds; tests share it."""
    folder = tmp_path_factory.mktemp("project") / "mlruns"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(folder)
        yield folder
