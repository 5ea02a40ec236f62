"""Data sets: labelled images from any source, one module per source.

A source is a function that returns a `Dataset`. Code outside this package never names one, except
through `open_dataset`, which finds the right source for a path.

In reading order:

    images          labelled images: pixels, labels, groups, names
    dataset         a data set: training images, and test images behind a separate call
    splitting       training and validation by a seed; a test part by the content of the images
    check           what a search or an evaluation requires of a data set
    parts           the training and the test part, whose pixels are read on demand
    sources/        the sources
    source          finds the source for a path
    arrays/         arrays of pixels and labels, as files store them
    pictures/       picture files
    paths/          the meaning of file and folder names
    overview        the `data` subcommand, with `survey` (warnings) and `example_images`
    naming          words for messages

An experiment calls a source. `training.data` reads and checks the training part in a worker. Only
`evaluation` and the `data` subcommand read the test part.
"""

from mnist_cnn.datasets.check import check
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images
from mnist_cnn.datasets.source import open_dataset
from mnist_cnn.datasets.sources.digits import digits
from mnist_cnn.datasets.sources.folder import folder
from mnist_cnn.datasets.sources.idx import idx
from mnist_cnn.datasets.sources.keras_dataset import keras_dataset
from mnist_cnn.datasets.sources.mnist import MNIST_SHA256, mnist
from mnist_cnn.datasets.sources.npz import npz
from mnist_cnn.datasets.sources.table import csv
from mnist_cnn.datasets.splitting import split

__all__ = [
    "MNIST_SHA256",
    "Dataset",
    "Images",
    "check",
    "csv",
    "digits",
    "folder",
    "idx",
    "keras_dataset",
    "mnist",
    "npz",
    "open_dataset",
    "split",
]
