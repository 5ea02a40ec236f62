"""The record of openings: on which run it is, and what is counted together."""

from pathlib import Path

import mlflow
import pytest
from mlflow.entities import DatasetInput
from projects import connected

from mnist_cnn.evaluation import lockbox
from mnist_cnn.evaluation.data import DataInfo
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.registry.models import FoundModel


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with connected(tmp_path_factory.mktemp("project")) as made:
        yield made


@pytest.fixture
def run(client, request):
    """A run in an experiment of its own."""
    return client.create_run(client.create_experiment(request.node.name)).info.run_id


@pytest.fixture
def opened(client, request):
    """Record that a model, which has that digest and run, is tested on images with that id."""

    def record(digest, run, test="all"):
        own = f"{request.node.name} {test}"
        data = DataInfo(name="it", digest=f"{own} as one-hot", test_id=own, is_test_set=True)
        title = f"{request.node.name} {digest}"
        model = FoundModel(title=digest, file=Path("it.keras"), digest=title, run_id=run)
        return lockbox.record(client, model, f"weights of {title}", data, "promote")

    return record


def test_a_model_whose_run_is_deleted_is_recorded_on_another_one(client, run, opened):
    assert opened("a", run).run_id == run
    client.delete_run(run)
    second = opened("a", run)
    assert second.run_id != run
    assert (second.count, second.total) == (2, 2)  # the first one is not forgotten
    assert opened("a", run).run_id == second.run_id
    assert opened("b", "0" * 32).run_id not in (run, second.run_id)  # of which nothing is left


def test_an_opening_that_is_not_counted_is_no_third_one():
    assert [lockbox.ordinal(count) for count in range(5)] == [
        "0th",
        "first",
        "second",
        "third",
        "4th",
    ]


def test_data_were_searched_if_a_run_has_them_or_an_experiment_is_called_like_them(client):
    def searched(path, digest):
        data = DataInfo(name="it", digest=digest, test_id=digest, is_test_set=False)
        return lockbox.was_searched(client, path, data)

    assert not searched("/home/ada/my digits", "a" * 64)
    client.create_experiment(ExperimentId("images", "/home/ada/my digits").name)
    assert searched("/home/ada/my digits", "b" * 64)
    assert not searched("/home/ada/other", "b" * 64)
    run = client.create_run(client.create_experiment("their own")).info.run_id
    trained = mlflow.entities.Dataset("their own training", "b" * 36, "local", "{}")
    client.log_inputs(run, [DatasetInput(trained)])
    assert searched("/home/ada/moved", "b" * 64)


def test_openings_of_a_deleted_experiment_count(client, run, opened):
    opened("a", run)
    client.delete_experiment(client.get_run(run).info.experiment_id)
    assert opened("b", None).total == 2


def test_each_test_set_is_counted_by_itself(client, run, opened):
    opened("a", run)
    other = opened("a", run, test="others")
    assert (other.count, other.total) == (1, 1)
    assert (opened("b", run).count, opened("a", run).count) == (1, 2)
    assert client.get_run(run).data.tags[lockbox.OPENINGS] == "3"  # of the last model


def test_variants_of_a_data_set_are_counted_together(client, run, opened):
    """Also with openings that an older version has recorded, without a name of the test set."""
    test = "test_variants_of_a_data_set_are_counted_together all"
    for number, digest in enumerate((test, f"{test} as one-hot", f"{test} with 100 images")):
        client.set_tag(run, f"{lockbox.OPENED}{number}", f'{{"digest": "{digest}", "model": "b"}}')
    client.set_tag(run, lockbox.OPENINGS, "3")
    assert opened("a", run).total == 3


def test_of_more_experiments_than_mlflow_answers_at_once_each_counts(client, run, opened):
    opened("a", run)
    for number in range(1000):
        client.create_experiment(f"many {number}")
    assert opened("b", run).total == 2
