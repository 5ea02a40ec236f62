"""`mnist-cnn delete`: all of a study or nothing, also where only a part of it is."""

import optuna
import pytest
from made_study import made_study
from projects import copy_database
from studies import started

from mnist_cnn.delete_study import delete_study
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import STUDY_ID_FILE, checkpoints
from mnist_cnn.study.storage import default_storage, open_storage
from mnist_cnn.tracking.client import connect, experiment_id
from mnist_cnn.tracking.delivery import Delivery


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the study mnist-1, which is in Optuna and MLflow with one trial."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_database(tmp_path / "mlruns")
    study = made_study(tmp_path, storage=default_storage())
    study.set_attributes(id="1234")
    (study.folder / STUDY_ID_FILE).write_text("1234")
    for run in (study.folder, study.folder / "trial-00000"):
        started(run)
    client = connect(tmp_path / "mlruns")
    number = experiment_id(client, "mnist", tmp_path / "mlruns")
    Delivery(client, number, study.folder).deliver()
    return study.folder


def left():
    """What there is of studies: the runs in MLflow, the studies in Optuna, the folders."""
    client = connect(checkpoints().parent)
    experiments = [found.experiment_id for found in client.search_experiments()]
    names = optuna.get_all_study_names(open_storage(default_storage()))
    folders = sorted(path.name for path in checkpoints().glob("*/"))
    return len(client.search_runs(experiments)), names, folders


def delete(force=False):
    return delete_study("mnist-1", None, force)


def test_a_study_is_deleted_in_mlflow_in_optuna_and_on_the_disk(folder):
    assert left() == (2, ["mnist-1"], ["mnist-1"])
    assert delete() == "deleted mnist-1 and its 2 runs in MLflow"
    assert left() == (0, [], [])


@pytest.mark.parametrize("in_optuna", [True, False])
def test_a_deletion_that_was_killed_is_completed(folder, in_optuna):
    """Once the folder is renamed, the runs are gone, and then the study."""
    folder.rename(folder.with_name(".mnist-1.deleted"))
    if not in_optuna:
        optuna.delete_study(study_name="mnist-1", storage=open_storage(default_storage()))
    assert delete() == "deleted mnist-1 and its 0 runs in MLflow"
    assert left()[1:] == ([], [])
    with pytest.raises(UsageError, match="there is no study 'mnist-1'"):
        delete()


@pytest.mark.parametrize("files", ["none", "of another study"])
def test_a_study_whose_files_are_elsewhere_is_deleted_in_optuna_alone_and_by_force(folder, files):
    (folder / STUDY_ID_FILE).write_text("5678")
    if files == "none":
        folder.rename(folder.with_name("other-1"))
    with pytest.raises(UserError, match="delete it where it was searched, or add --force"):
        delete()
    there = left()
    assert delete(force=True).endswith("/mlruns/optuna.db, without files and runs")
    assert left() == (there[0], [], there[2])


def test_files_whose_study_is_gone_are_deleted_with_their_runs_by_force(folder):
    optuna.delete_study(study_name="mnist-1", storage=open_storage(default_storage()))
    with pytest.raises(UserError, match=r"there is no mnist-1 in .* but in .* add --force"):
        delete()
    assert left() == (2, [], ["mnist-1"])
    assert delete(force=True) == "deleted mnist-1 and its 2 runs in MLflow"
    assert left() == (0, [], [])


def test_a_study_whose_runs_are_in_another_mlflow_is_refused_with_its_address(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "other").mkdir()
    copy_database(tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/mlflow.db")
        with pytest.raises(UserError, match=r"at sqlite.*/mlruns/mlflow\.db, not at .*/other/"):
            delete()
    assert left() == (2, ["mnist-1"], ["mnist-1"])


def test_in_a_project_that_was_moved_a_study_is_deleted_with_its_runs(
    folder, tmp_path, monkeypatch
):
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    monkeypatch.chdir(moved)
    assert delete() == "deleted mnist-1 and its 2 runs in MLflow"
    assert left() == (0, [], [])


def test_a_study_of_an_experiment_that_is_deleted_in_mlflow_is_deleted(folder):
    client = connect(checkpoints().parent)
    number = client.get_experiment_by_name("mnist").experiment_id
    client.set_experiment_tag(number, "mlflow.sharedViewState.mnist-1.best-trials", "{}")
    client.delete_experiment(number)
    delete()
    assert left() == (0, [], [])
