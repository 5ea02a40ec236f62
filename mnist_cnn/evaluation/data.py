"""Which images a model is evaluated on: a data set's test images, or a user's own files.

This is the only module of the package that opens a data set's test set; a test enforces it.
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
from mnist_cnn.project import known_experiments, load_experiment


@dataclass(frozen=True)
class DataInfo:
    """What is recorded about images.

    Attributes:
        name: For titles and messages.
        digest: SHA-256 in hexadecimal.
        is_test_set: Whether reading them opens a test set, which is recorded.
        model_name: The registered model of the data set that they are the test images of; else "".
        class_names: The names of the classes, in the order of their indices. Empty if unknown.
        like_mnist: As in `Dataset`.
    """

    name: str
    digest: str
    is_test_set: bool
    model_name: str = ""
    class_names: tuple[str, ...] = ()
    like_mnist: bool = False


@dataclass(frozen=True)
class Source:
    """Labelled images that have not been read yet.

    Attributes:
        info: What is recorded about them.
        shape: Of one image: (height, width, channels). None if they are converted to the model's.
        classes: How many; None if the labels are checked when they are read.
        read: Returns the images for a model with this input shape and this number of classes.
    """

    info: DataInfo
    shape: Shape | None
    classes: int | None
    read: Callable[[Shape, int], Images]


def check_name(data: str) -> None:
    """Check that `data` names something that exists. Nothing is read or imported.

    Raises:
        UsageError: It does not. The message names what is valid.
    """
    if data in _experiments() or data in _datasets() or Path(data).exists():
        return
    names = ", ".join(sorted({*_experiments(), *_datasets()}))
    raise UsageError(
        f"there is no data set {data!r}; valid: {names}, an .npz file, a folder of images"
    )


def find(data: str) -> Source:
    """Return the images that `data` names. Of a file, only the header is read.

    Args:
        data: The name of an experiment or of one of this package's data sets, or the path of an
            .npz file or of a folder.

    Raises:
        UsageError: Unknown name.
        UserError: The file has no images.
    """
    check_name(data)
    if data in _experiments():
        return _test_images(load_experiment(known_experiments()[data]).opened_dataset)
    known = _datasets()
    if data in known:
        return _test_images(known[data]())
    path = Path(data)
    return _folder(path) if path.is_dir() else _array_file(path)


def _test_images(dataset: Dataset) -> Source:
    info = DataInfo(
        name=dataset.name,
        digest=dataset.digest,
        is_test_set=True,
        model_name=dataset.model_name,
        class_names=dataset.class_names,
        like_mnist=dataset.like_mnist,
    )
    return Source(
        info, dataset.shape, dataset.classes, lambda shape, classes: dataset.test().scaled()
    )


def _folder(path: Path) -> Source:
    info = DataInfo(path.resolve().name, image_files.digest_of_folder(path), is_test_set=False)
    return Source(info, shape=None, classes=None, read=partial(image_files.read_folder, path))


def _array_file(path: Path) -> Source:
    arrays = image_files.arrays_of(path)
    info = DataInfo(path.name, image_files.digest_of_file(path), arrays.is_test_set)

    def read(shape: Shape, classes: int) -> Images:
        return image_files.read_arrays(path, arrays, classes)

    return Source(info, arrays.shape, classes=None, read=read)


def _experiments() -> list[str]:
    try:
        return list(known_experiments())
    except UserError:
        return []  # outside a project, there are still files and the package's own data sets


def _datasets() -> dict[str, Callable[[], Dataset]]:
    """Return the functions of `datasets` that take nothing and return a data set, by name."""
    found: dict[str, Callable[[], Dataset]] = {}
    for name, function in inspect.getmembers(datasets, inspect.isfunction):
        signature = inspect.signature(function)
        returns_dataset = signature.return_annotation is Dataset
        if returns_dataset and not signature.parameters and not name.startswith("_"):
            found[name] = function
    return found
