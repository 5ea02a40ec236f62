"""Somebody's own images, from the search to the page, by the commands that a user types."""

import json
import shutil

import httpx
import pytest
from champions import share
from made_pictures import CLASSES, make_folder
from projects import copy_database, copy_project, here
from serving_project import served_here

from mnist_cnn import known_data
from mnist_cnn.evaluation.worker import ModelWorker
from mnist_cnn.experiment_id import data_name, experiment_id

# Few epochs of one small network: that it works, not how well.
EXPERIMENT = """
from dataclasses import replace
from experiments.images import experiment as of_images
from mnist_cnn.experiment import Confirm


def experiment(data):
    small = {"blocks": 3, "filters_0": 8, "filters_1": 16, "filters_2": 32, "dense": 64}
    return replace(
        of_images(data), trials=1, epochs=6, screen=None, confirm=Confirm(trials=0), baseline=small
    )
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project in which images were searched and promoted."""
    root = copy_project(tmp_path_factory.mktemp("project"))
    copy_database(root / "mlruns")
    (root / "experiments" / "quick.py").write_text(EXPERIMENT)
    make_folder(root / "my shapes", 150, sizes=((32, 32), (32, 32), (60, 40)))
    own = ("quick", "--data", "my shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # where the worker starts
        with ModelWorker() as worker:
            share(worker, patch)
            for verb, *options in (("search", "--workers", "1"), ("promote",)):
                done = here(verb, *own, *options, cwd=root)
                assert done.returncode == 0, done.stderr
                (root / f"{verb}.txt").write_text(done.stdout)
            yield root


def test_the_search_says_what_is_odd_and_what_to_type_next(root):
    printed = (root / "search.txt").read_text()
    assert "note: there is no test part" in printed
    assert printed.rstrip().endswith(f"make promote EXPERIMENT=quick DATA='{root}/my shapes'")
    name = experiment_id("quick", root / "my shapes").name
    assert (root / "mlruns" / "checkpoints" / f"{name}-1" / "report.html").exists()


def test_the_model_is_registered_under_the_name_of_the_data(root):
    name = data_name(str(root / "my shapes"))
    assert f"champion is now version 1 of {name}" in (root / "promote.txt").read_text()
    done = here("pull", cwd=root)  # the only one there is
    assert done.returncode == 0 and (root / f"{name}.keras").exists()
    refused = here("pull", "--model-name", "other", cwd=root)
    assert refused.returncode == 2 and f"valid: {name}" in refused.stderr


def test_evaluate_knows_the_classes_by_name(root):
    done = here("evaluate", "--model", "champion", "--data", "my shapes", "--json", cwd=root)
    found = json.loads(done.stdout)
    assert found["class_names"] == list(CLASSES) and found["test_openings"] == 2
    assert found["images"] < 60  # those that were set aside


def test_predict_and_the_page_agree(root):
    picture = min((root / "my shapes" / CLASSES[0]).glob("*.png"))
    done = here("predict", str(picture), "--json", cwd=root)
    (row,) = json.loads(done.stdout)
    assert row["label"] in CLASSES and row["predictions"][0]["box"] is None
    with served_here(root, "--data", str(root / "my shapes")) as app:
        info = httpx.get(f"{app.address}/api/model").json()
        answer = httpx.post(
            f"{app.address}/api/predict", content=picture.read_bytes(), timeout=60
        ).json()
    assert info["class_names"] == list(CLASSES) and not info["like_mnist"]
    assert answer["number"] is None and answer["predictions"] == row["predictions"]


@pytest.mark.parametrize("moved", [False, True])
def test_training_images_stay_unread_if_it_is_forgotten_that_they_were_searched(root, moved):
    place = root / "my shapes"
    if moved:
        place = shutil.copytree(place, root / "elsewhere" / "copied")
    forget(root)
    done = here("evaluate", "--model", "champion", "--data", str(place), "--json", cwd=root)
    found = json.loads(done.stdout)
    assert found["test_openings"] is not None and found["images"] < 60


def test_promote_knows_the_experiment_of_data_that_were_forgotten(root):
    forget(root)
    done = here("promote", "quick", "--data", "my shapes", cwd=root)
    assert done.returncode == 0, done.stderr
    assert "is the champion already" in done.stdout


def forget(root):
    """Forget what is known of data, as after `rm -r mlruns/data` and in a new process."""
    for file in (root / "mlruns" / "data").glob("*.json"):
        file.unlink()
    known_data._open.cache_clear()
    known_data._as_stamped.cache_clear()


def test_trials_are_listed_by_the_data(root):
    done = here("trials", "quick", "--data", "./my shapes/", "--json", cwd=root)
    assert len(json.loads(done.stdout)["trials"]) == 1
