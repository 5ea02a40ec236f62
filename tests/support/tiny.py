"""A project whose experiment `tiny` is searched as fast as a search can be."""

from projects import copy_database, copy_project

SPACE = '''
import keras


def dense(hp, input_shape, classes):
    """One layer."""
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten()])
    model.add(keras.layers.Dense(hp.Int("units", 8, 64, sampling="log"), activation="relu"))
    model.add(keras.layers.Dense(classes, activation="softmax"))
    rate = hp.Float("rate", 1e-4, 1e-2, sampling="reverse_log")
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model
'''
EXPERIMENT = '''
from mnist_cnn import Confirm, Dataset, Experiment
from mnist_cnn.datasets import mnist
from search_spaces.dense import dense


def few() -> Dataset:
    """The first 300 images."""
    return mnist().first(300)


experiment = Experiment(
    space=dense,
    dataset=few,
    trials=1,
    epochs=2,
    batch_size=50,
    confirm=Confirm(trials=0),
    baseline={"units": 16, "rate": 0.001},
)
'''


def make_tiny(root):
    """A project's root with the repository's experiments, and `tiny`."""
    copy_project(root)
    copy_database(root / "mlruns")
    (root / "search_spaces/dense.py").write_text(SPACE)
    (root / "experiments/tiny.py").write_text(EXPERIMENT)
    return root
