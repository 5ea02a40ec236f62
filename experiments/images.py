"""A search on images of your own: a folder with a sub-folder per class, a .csv, an .npz, IDX files.

    make search DATA=~/my_digits

Cost: 10 to 12 minutes on two cores, as the search on MNIST; small data sets need less.
Result: 98.8 % of 346 test images of scikit-learn's digits, in a minute without confirmations;
92.38 % of Fashion-MNIST's test images, by 14 configurations.
"""

from collections.abc import Callable
from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.datasets import Dataset
from mnist_cnn.experiment import Experiment
from search_spaces.cnn import possible_blocks

MNIST_PIXELS = 28 * 28
# An epoch ends at the first rung. After fewer steps the averaged weights say little.
FEWEST_STEPS, STEPS = 48, mnist_experiment.epoch_images // mnist_experiment.batch_size
FEWEST_EPOCHS = 8
# Times the epochs on MNIST, because most images are harder. On Fashion-MNIST a network reached
# 91.8 % of the validation images after 40 epochs, 92.5 % after 60, 92.6 % after 80 (two seeds).
LONGER = 2
RUNGS = (*mnist_experiment.screen.rungs, 36)  # only the best get that far
MOST_PASSES = 100  # over all images: more do not improve a network
OF_EACH_CLASS = 32  # images in an epoch
# They give an accuracy to about a point, or to 0.2 points.
FEWEST_VALIDATION_IMAGES, VALIDATION_IMAGES = 600, 5_000


def experiment(data: Callable[[], Dataset]) -> Experiment:
    """The search on MNIST, with budgets for other data.

    A full run costs at most twice as much as on MNIST, whatever the size and the number of the
    images. Large images get smaller batches and fewer epochs, so that the first rung still comes
    after enough steps. An epoch on a small set is several passes.

    Args:
        data: Returns the data set.
    """
    dataset = data()
    images = dataset.train_images or len(dataset.train())
    height, width, _ = dataset.shape
    affordable = mnist_experiment.epochs * mnist_experiment.epoch_images
    affordable = round(affordable / max(1, height * width / MNIST_PIXELS))

    batch_size = _batch_size(images, affordable)
    longest = affordable // FEWEST_EPOCHS
    steps = max(FEWEST_STEPS, min(STEPS, longest // batch_size))
    epoch_images = max(steps * batch_size, min(OF_EACH_CLASS * dataset.classes, longest))
    epochs = min(LONGER * affordable, MOST_PASSES * images) // epoch_images
    epochs = max(FEWEST_EPOCHS, min(LONGER * mnist_experiment.epochs, epochs))
    # Validation takes about as large a share of the time as on MNIST.
    share = min(1, epoch_images / mnist_experiment.epoch_images)
    validation_images = max(FEWEST_VALIDATION_IMAGES, VALIDATION_IMAGES * share)

    fewest, most = possible_blocks(dataset.shape)
    blocks = min(fewest + 1, most)
    return replace(
        mnist_experiment,
        dataset=data,
        validation_fraction=min(1 / 5, validation_images / images),
        batch_size=batch_size,
        epoch_images=epoch_images,
        epochs=epochs,
        patience=epochs,
        screen=replace(
            mnist_experiment.screen, rungs=tuple(rung for rung in RUNGS if 2 * rung <= epochs)
        ),
        baseline={  # narrow, so that it learns quickly
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


def _batch_size(images: int, affordable: int) -> int:
    """Return a power of two from 8 to 64.

    It is halved until a pass over the images has about a dozen steps, and until a run on large
    images can afford a dozen epochs.
    """
    size = mnist_experiment.batch_size
    while size > 8 and (images < 15 * size or affordable < 12 * STEPS * size):
        size //= 2
    return size
