"""The folder of a run's files, where no tag leads elsewhere; and files that MLflow has lost."""

import errno

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import checkpoints, own_folder
from mnist_cnn.registry import models, store


@pytest.fixture
def root(tmp_path, monkeypatch):
    """mlruns/checkpoints/ in an empty project, with a trial's folder; there is one outside too."""
    monkeypatch.chdir(tmp_path)
    (checkpoints() / "mnist-1" / "trial-00000").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return checkpoints()


def test_a_run_has_its_folder_in_that_of_its_study(root):
    assert own_folder("mnist-1/trial-00000") == root / "mnist-1" / "trial-00000"
    assert own_folder("mnist-1") == root / "mnist-1"


def test_mlruns_may_be_a_link(tmp_path, monkeypatch):
    elsewhere = tmp_path / "large disk"
    (elsewhere / "checkpoints" / "mnist-1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").symlink_to(elsewhere)
    assert own_folder("mnist-1") == elsewhere / "checkpoints" / "mnist-1"


@pytest.mark.parametrize(
    "tag",
    [
        "{outside}",
        "../../outside",
        "mnist-1/../../../outside",
        "link",
        "link/..",
        "loop",
        "",
        ".",
        "..",
        "mnist-9",
        "a\0b",
        pytest.param("x" * 5000, id="too long"),
        "mnist-1/trial-00000/file",
    ],
)
def test_no_tag_leads_out_of_the_projects_folder(root, tmp_path, tag):
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root / "loop")
    (root / "mnist-1" / "trial-00000" / "file").write_text("")
    assert own_folder(tag.replace("{outside}", str(tmp_path / "outside"))) is None


# Downloads

HEADS = "The following failures occurred while downloading one or more artifacts from s3:\n"
HEADS += "##### File model.keras #####\n"


@pytest.fixture
def download(tmp_path, monkeypatch):
    """Download a model whose download raises an error."""

    def fail(error):
        def download_artifacts(uri, dst_path):
            raise error

        monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download_artifacts)
        with store.answering():
            return models._download("models:/it/1", tmp_path)

    return fail


def test_a_model_that_is_not_found_is_gone(download):
    assert download(FileNotFoundError("no such file")) is None
    assert download(MlflowException("no such artifact", RESOURCE_DOES_NOT_EXIST)) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (MlflowException(f"{HEADS}[Errno 28] No space left"), "refused: .Errno 28. No space left"),
        (MlflowException("failed with timeout exception"), "failed with timeout exception"),
        (MlflowException(f"{HEADS}Max retries exceeded with url"), "cannot be reached"),
    ],
)
def test_a_download_that_fails_otherwise_is_told(download, error, words):
    with pytest.raises(UserError, match=words):
        download(error)
