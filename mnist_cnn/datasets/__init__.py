"""Data sets: labelled images from any source, one module per source.

A source is a function that returns a `Dataset`. Code outside this package never names one, except
through `open_dataset`, which finds the right source for a path. To add a source, add a module.

In reading order:

    images           labelled images: pixels, labels, groups, names
    dataset          a data set: training images, and test images behind a separate call
    splitting        training and validation by a seed; a test part by the content of the images
    check            what a search or an evaluation requires of a data set
    source           finds the source for a path

    mnist, digits, keras_dataset, idx, npz, folder, table
                     the sources

    arrays           from arrays of pixels and labels to a data set, for the other sources
    picture_files    from picture files to a data set: for folder and table
    parts            what both end with: parts whose pixels are read on demand
    labels, pixels   labels and pixels in any common form
    pictures         decodes one picture file, within bounds
    table_file, named_pictures
                     reads a table; finds the pictures that it names
    emnist           peculiarities of EMNIST's files
    tree, roles, naming
                     lists folders; recognises parts by name; words for messages

    overview         the verb `data`, with `survey` (what is odd) and `example_images`

An experiment calls a source. `training.data` reads and checks the training part in a worker. Only
`evaluation` and the verb `data` read the test part.
"""

from mnist_cnn.datasets.check import check
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.digits import digits
from mnist_cnn.datasets.folder import folder
from mnist_cnn.datasets.idx import idx
from mnist_cnn.datasets.images import Images
from mnist_cnn.datasets.keras_dataset import keras_dataset
from mnist_cnn.datasets.mnist import MNIST_SHA256, mnist
from mnist_cnn.datasets.npz import npz
from mnist_cnn.datasets.source import open_dataset
from mnist_cnn.datasets.splitting import split
from mnist_cnn.datasets.table import csv

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
