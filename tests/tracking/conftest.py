"""What the tests of delivery share."""

import pytest
from projects import copy_database

from mnist_cnn.tracking.client import connect


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory):
    """A folder with MLflow's database in it, which the tests of a module share."""
    folder = tmp_path_factory.mktemp("project") / "mlruns"
    copy_database(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(folder)
        yield folder
