"""The search in seconds, for tests: tiny budgets on the first few thousand real images.

    make search EXPERIMENT=smoke

Cost: about 30 seconds on 2 cores.
Result: about 90 % of the validation images; it shows that everything works, not what is possible.
"""

from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.datasets import Dataset, mnist
from mnist_cnn.experiment import Confirm, Maximize


def few_images() -> Dataset:
    """The first 3,000 images of MNIST."""
    return mnist().first(3000)


experiment = replace(
    mnist_experiment,
    dataset=few_images,
    objectives=(Maximize("val_accuracy"),),  # which models of any space report
    trials=3,
    timeout_seconds=120,
    epochs=2,
    batch_size=100,
    epoch_images=None,
    validation_fraction=1 / 6,
    baseline={"blocks": 2, "filters_0": 32, "filters_1": 64},
    screen=None,
    confirm=Confirm(trials=1, seeds=1, max_seeds=1),
)
