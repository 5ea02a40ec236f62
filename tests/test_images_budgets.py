"""The budgets that experiments/images.py makes for data of any size."""

import importlib

import numpy as np
import pytest

from mnist_cnn.datasets import Dataset
from mnist_cnn.experiment import Experiment

SIZES = [
    (images, (side, side, channels), classes)
    for images in (12, 240, 1_437, 60_000, 1_000_000)
    for side, channels in ((8, 1), (28, 1), (64, 3), (256, 3))
    for classes in (2, 10, 1000)
    if images >= 6 * classes
]


def experiment_of(images, shape, classes):
    """The experiment for a data set of this size, of which no image is read."""
    dataset = Dataset(
        name="made",
        digest="0" * 64,
        shape=shape,
        classes=classes,
        train_images=images,
        train=lambda: pytest.fail("images were read"),
        test=lambda: pytest.fail("images were read"),
    )
    return importlib.import_module("experiments.images").experiment(lambda: dataset)


@pytest.fixture(scope="module")
def mnist_experiment():
    return importlib.import_module("experiments.mnist").experiment


@pytest.mark.parametrize(("images", "shape", "classes"), SIZES)
def test_a_full_run_costs_at_most_twice_as_much_as_on_mnist(
    images, shape, classes, mnist_experiment
):
    found = experiment_of(images, shape, classes)
    budget = mnist_experiment.epochs * mnist_experiment.epoch_images
    assert found.epochs * found.epoch_images * max(1, shape[0] * shape[1] / 28**2) <= 2.2 * budget


@pytest.mark.parametrize(("images", "shape", "classes"), SIZES)
def test_a_validation_takes_a_fraction_of_an_epoch(images, shape, classes):
    found = experiment_of(images, shape, classes)
    # It costs a third of a training on as many images.
    assert found.validation_fraction * images / 3 <= 0.6 * found.epoch_images


@pytest.mark.parametrize(("images", "shape", "classes"), SIZES)
def test_the_first_rung_comes_after_enough_steps_and_is_a_fraction_of_a_training(
    images, shape, classes
):
    found = experiment_of(images, shape, classes)
    assert found.epoch_images >= 48 * found.batch_size
    assert 8 <= found.epochs <= 80
    assert found.screen.rungs[0] == 1 and 2 * found.screen.rungs[-1] <= found.epochs


@pytest.mark.parametrize(("images", "shape", "classes"), SIZES)
def test_a_batch_fits_into_the_training_part(images, shape, classes):
    found = experiment_of(images, shape, classes)
    trained = images * (1 - found.validation_fraction)
    assert 8 <= found.batch_size <= max(8, trained / 12)


@pytest.mark.parametrize("images", [240, 1_437, 60_000])
def test_a_small_set_is_passed_a_hundred_times_at_most(images):
    found = experiment_of(images, (28, 28, 1), 10)
    assert found.epochs * found.epoch_images <= 100 * images


def test_mnist_has_its_own_budgets_but_runs_twice_as_long(mnist_experiment):
    found = experiment_of(60_000, (28, 28, 1), 10)
    assert isinstance(found, Experiment)
    assert found.epochs == found.patience == 2 * mnist_experiment.epochs
    assert found.screen.rungs == (*mnist_experiment.screen.rungs, 36)
    names = ("epoch_images", "batch_size", "validation_fraction")
    for name in names:
        assert getattr(found, name) == getattr(mnist_experiment, name), name


def test_images_are_counted_if_nothing_else_tells_how_many_there_are(images):
    shape = images.x.shape[1:]
    dataset = Dataset(name="made", digest="0", shape=shape, classes=10, train=lambda: images)
    found = importlib.import_module("experiments.images").experiment(lambda: dataset)
    assert found.batch_size == 16 and np.isclose(found.validation_fraction, 1 / 5)
