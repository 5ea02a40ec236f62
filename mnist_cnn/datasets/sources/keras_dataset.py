"""The image data sets that Keras downloads."""

import os
from pathlib import Path

from mnist_cnn.datasets.arrays.assembly import Arrays, of_arrays
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, reason
from mnist_cnn.errors import UsageError, UserError

# The files that Keras looks for before it downloads them, and where they come from.
_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_CIFAR = "https://www.cs.toronto.edu/~kriz"
_FILES = {
    "mnist": {"mnist.npz": f"{_STORE}/mnist.npz"},
    "fashion_mnist": {
        f"fashion-mnist/{part}-{content}-ubyte.gz": f"{_STORE}/{part}-{content}-ubyte.gz"
        for part in ("train", "t10k")
        for content in ("images-idx3", "labels-idx1")
    },
    "cifar10": {"cifar-10-batches-py-target_archive": f"{_CIFAR}/cifar-10-python.tar.gz"},
    "cifar100": {"cifar-100-python-target_archive": f"{_CIFAR}/cifar-100-python.tar.gz"},
}
_NAMES = {
    "fashion_mnist": "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, "
    "Ankle boot",
    "cifar10": "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
}


def keras_dataset(name: str) -> Dataset:
    """A data set that Keras downloads: mnist, fashion_mnist, cifar10 or cifar100.

    Raises:
        UsageError: For any other name.
        UserError: If it cannot be downloaded. It says which files to put where.
    """
    if name not in _FILES:
        raise UsageError(f"Keras has no image data set {name!r}; valid: {', '.join(_FILES)}")
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception if there is no network
        place = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"
        files = ", ".join(f"{url} as {place}/{file}" for file, url in _FILES[name].items())
        raise UserError(f"Keras cannot download {name}: {reason(error)}; put {files}") from None
    parts = {
        part: Arrays(x, y, Where(f"{name}: x_{part}"), Where(f"{name}: y_{part}"))
        for part, (x, y) in (("train", train), ("test", test))
    }
    names = _NAMES[name].split(", ") if name in _NAMES else []
    known = {str(number): text for number, text in enumerate(names)}
    return of_arrays(name, parts, known)
