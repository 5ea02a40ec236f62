"""Data sets: labelled images from any source, one module per source.

A source is a function that returns a `Dataset`. Code outside this package never names one, except
through `open_dataset`, which finds the right source for a path. To add a source, add a module.
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
