"""Which images a model is evaluated on: a data set's test images by name, or a user's own files.

The only place in the package that opens a data set's test set; a test holds that.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mnist_cnn import datasets
from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.evaluation import image_files
from mnist_cnn.evaluation.image_files import Shape
from mnist_cnn.project import experiment_names, load_experiment


@dataclass(frozen=True)
class Facts:
    """What is recorded of the images.

    digest: SHA-256 in hexadecimal. lockbox: whether reading them opens a test set.
    """

    name: str
    digest: str
    lockbox: bool


@dataclass(frozen=True)
class Source:
    """Labelled images that are not read yet.

    shape: of one image, (height, width, channels); None where it is made to fit the model.
    classes: how many; None where the labels are checked when they are read.
    read: gives the images for a model of this shape and number of classes.
    """

    facts: Facts
    shape: Shape | None
    classes: int | None
    read: Callable[[Shape, int], Images]


def check_name(data: str) -> None:
    """Raise UsageError if `data` names nothing that can be found; nothing is read or imported."""
    if data in _experiments() or data in _datasets() or Path(data).exists():
        return
    names = ", ".join(sorted({*_experiments(), *_datasets()}))
    raise UsageError(
        f"there are no data {data!r}; valid: {names}, an .npz file, a folder of images"
    )


def find(data: str) -> Source:
    """The images that `data` names: an experiment, a data set of this package, a file or a folder.

    Nothing but a file's header is read. Raises UsageError for an unknown name, UserError for a file
    that holds no images.
    """
    check_name(data)
    if data in _experiments():
        return _test_images(load_experiment(data).dataset())
    if data in (known := _datasets()):
        return _test_images(known[data]())
    path = Path(data)
    if path.is_dir():
        facts = Facts(path.resolve().name, image_files.digest_of_folder(path), lockbox=False)
        return Source(facts, None, None, partial(image_files.read_folder, path))
    arrays = image_files.arrays_of(path)
    facts = Facts(path.name, image_files.digest_of_file(path), lockbox=arrays.lockbox)

    def read(shape: Shape, classes: int) -> Images:
        return image_files.read_arrays(path, arrays, classes)

    return Source(facts, arrays.shape, None, read)


def _test_images(dataset: Dataset) -> Source:
    facts = Facts(dataset.name, dataset.digest, lockbox=True)
    return Source(facts, dataset.shape, dataset.classes, lambda shape, classes: dataset.test())


def _experiments() -> list[str]:
    try:
        return experiment_names()
    except UserError:
        return []  # outside a project there are files and the package's own data sets


def _datasets() -> dict[str, Callable[[], Dataset]]:
    """The functions of `datasets` that take nothing and return a data set, by name."""
    return {
        name: function
        for name, function in inspect.getmembers(datasets, inspect.isfunction)
        if not name.startswith("_")
        and (signature := inspect.signature(function)).return_annotation is Dataset
        and not signature.parameters
    }
