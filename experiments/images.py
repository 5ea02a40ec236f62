"""A search on images of your own: a folder with a sub-folder per class, a .csv, an .npz, IDX files.

    make search DATA=~/my_digits

Cost: 10 to 12 minutes on two cores, as the search on MNIST; small data sets need less.
Result: 98.8 % of 346 test images of scikit-learn's digits, in a minute without confirmations.
"""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, prod

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.datasets import Dataset
from mnist_cnn.experiment import Experiment
from search_spaces.cnn import possible_blocks

MNIST_VALUES = 28 * 28  # of one image, by which the cost of others is measured
MOST_TIMES = 6  # as many passes for each of MNIST's epochs


def experiment(data: Callable[[], Dataset]) -> Experiment:
    """The search on MNIST, with budgets for other data.

    Args:
        data: Returns the data set.
    """
    dataset = data()
    images = dataset.train_images or len(dataset.train())
    # An epoch and its validation cost about as much as MNIST's, whatever the size of the images.
    share = MNIST_VALUES / prod(dataset.shape)
    # 5,000 images judge a model to about 0.2 points, 1,000 to half a point; at most a fifth.
    judges = min(5_000, max(1_000, 5_000 * share))
    fraction = min(1 / 5, judges / images)
    trained = round(images * (1 - fraction))
    affordable = max(1, round(mnist_experiment.epoch_images * share))
    batch_size = _batch_size(min(trained, affordable))
    epoch_images = max(batch_size, min(trained, affordable))
    # A small set is passed more often up to each rung, since a pass costs little.
    times = min(MOST_TIMES, ceil(affordable / epoch_images))
    screen = mnist_experiment.screen
    epochs = times * mnist_experiment.epochs
    fewest, most = possible_blocks(dataset.shape)
    blocks = min(fewest + 1, most)
    return replace(
        mnist_experiment,
        dataset=data,
        validation_fraction=fraction,
        batch_size=batch_size,
        epoch_images=epoch_images,
        epochs=epochs,
        patience=epochs,
        screen=replace(screen, rungs=tuple(times * rung for rung in screen.rungs)),
        baseline={  # narrow, so that it is good soon
            **dict(
                zip(("filters_0", "filters_1", "filters_2")[:blocks], (16, 32, 64), strict=False)
            ),
            "blocks": blocks,
            "two_convolutions": True,
            "batch_normalisation": True,
            "shift_pixels": 1,
            "activation": "relu",
            "dense": 64,
            "dropout": 0.2,
            "adam_learning_rate": 0.001,
        },
    )


def _batch_size(images: int) -> int:
    """A power of two from 8 to 64, such that an epoch has at least about twenty steps."""
    size = mnist_experiment.batch_size
    while size > 8 and images < 20 * size:
        size //= 2
    return size
