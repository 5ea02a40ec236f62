"""The folder of a run's files: a tag in MLflow, which anybody can set, never leads elsewhere."""

import pytest

from mnist_cnn.mlruns import checkpoints, own_folder


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
