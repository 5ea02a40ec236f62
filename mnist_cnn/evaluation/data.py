"""Which images a model is evaluated on: a data set's test images, or a user's own files.

This is the only module of the package that opens a data set's test set; a test enforces it.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_cnn import datasets, known_data
from mnist_cnn.datasets import Dataset, Images, open_dataset
from mnist_cnn.datasets.check import check_images
from mnist_cnn.datasets.images import OnDemand
from mnist_cnn.datasets.naming import some
from mnist_cnn.datasets.parts import Shape
from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment_id import resolved
from mnist_cnn.project.loading import experiment_names, known_experiments, load_experiment


@dataclass(frozen=True)
class DataInfo:
    """The recorded facts about images.

    Attributes:
        name: For titles and messages.
        digest: SHA-256 in hexadecimal.
        test_id: As in `Dataset`.
        is_test_set: Whether reading them opens a test set, which is recorded.
        model_name: The registered model of the data set that they are the test images of; else "".
        class_names: The names of the classes, in the order of their indices. Empty if unknown.
        like_mnist: As in `Dataset`.
    """

    name: str
    digest: str
    test_id: str
    is_test_set: bool
    model_name: str = ""
    class_names: tuple[str, ...] = ()
    like_mnist: bool = False


@dataclass(frozen=True)
class Source:
    """Labelled images that have not been read yet.

    Attributes:
        info: The recorded facts about them.
        shape: Of one image: (height, width, channels).
        classes: The number of classes that a model must have; None if it only has to include
            theirs.
        read: Checks and returns the images, with float32 pixels in [0, 1]. Of a large set they are
            bytes that are read on demand.
    """

    info: DataInfo
    shape: Shape
    classes: int | None
    read: Callable[[], Images]


def check_name(data: str) -> None:
    """Check that `data` names something that exists. Nothing is read or imported.

    Raises:
        UsageError: It does not. The message names what is valid.
    """
    if data in _experiments() or data in _datasets() or _exists(data):
        return
    names = sorted({*_files(), *_datasets()})
    raise UsageError(
        f"there is no data set {unknown(data, names)}; valid: {', '.join(names)}, or the path of "
        "labelled images"
    )


def find(data: str, shape: Shape, classes: Sequence[str]) -> Source:
    """Return the images that `data` names, for a model.

    They are the test images of an experiment, of one of this package's data sets, or of data that
    were searched here. For other data they are the test part, if there is one, or else all images.
    Pictures of another size are fitted into the model's.

    Args:
        data: The name of an experiment or of a data set, or the path of labelled images.
        shape: Of the model's input.
        classes: The names of the model's classes, or their indices as text if it has no names.

    Raises:
        UsageError: There is nothing of this name, or it cannot be used.
        UserError: The images are of classes that the model does not know.
    """
    check_name(data)
    path = resolved(data)
    if data in _experiments():
        dataset = load_experiment(known_experiments()[data]).opened_dataset
    elif data in _datasets():
        dataset = _datasets()[data]()
    elif path in known_data.known_paths():
        dataset = _fitted(known_data.dataset_at(path), path, shape)
    else:
        return _own_images(_opened(path, shape), classes)
    return _test_images(dataset, classes)


def _test_images(dataset: Dataset, classes: Sequence[str]) -> Source:
    names, numbers = dataset.class_names, None
    # With another number of classes, a later check refuses the model.
    comparable = len(classes) == dataset.classes and not _are_numbers(classes)
    if comparable and tuple(classes) != names:
        names, numbers = tuple(classes), _numbers(dataset, classes)

    def read() -> Images:
        images = dataset.test()
        check_images(dataset, images, "test")
        if numbers is not None:  # the same classes in another order
            images = replace(images, y=numbers[images.labels])
        return _scaled_if_small(images)

    info = DataInfo(
        name=dataset.name,
        digest=dataset.digest,
        test_id=dataset.test_id,
        is_test_set=True,
        model_name=dataset.model_name,
        class_names=names,
        like_mnist=dataset.like_mnist,
    )
    return Source(info, dataset.shape, dataset.classes, read)


def _scaled_if_small(images: Images) -> Images:
    return images if isinstance(images.x, OnDemand) else images.scaled()


@lru_cache(maxsize=1)  # it is examined first, then read
def _opened(path: str, shape: Shape) -> Dataset:
    if shape[2] not in (1, 3):
        raise UserError(
            f"the model takes images of {shape[2]} channels, and those of files have one (grey) or "
            "three (colours)"
        )
    return open_dataset(path, shape=shape)


def _fitted(dataset: Dataset, path: str, shape: Shape) -> Dataset:
    """The data set at a path, for a model of images of another shape than it was searched with."""
    if dataset.shape == shape:
        return dataset
    fitted = _opened(path, shape)
    return replace(fitted, test_id=dataset.test_id, model_name=dataset.model_name)


def _own_images(dataset: Dataset, classes: Sequence[str]) -> Source:
    """The images of files that no search here has used."""
    numbers = _numbers(dataset, classes)

    def read() -> Images:
        images = (dataset.whole or dataset.test)()
        check_images(dataset, images, "given")
        return _scaled_if_small(replace(images, y=numbers[images.labels]))

    info = DataInfo(
        name=dataset.name,
        digest=dataset.digest,
        test_id=dataset.test_id,
        is_test_set=dataset.whole is None,
        class_names=tuple(classes),
    )
    return Source(info, dataset.shape, None, read)


def _numbers(dataset: Dataset, classes: Sequence[str]) -> NDArray[np.int32]:
    """The model's class of each class of the data, by name.

    Raises:
        UserError: The model does not have one of them.
    """
    unknown = [name for name in dataset.class_names if name not in classes]
    if not unknown:
        found = [classes.index(name) for name in dataset.class_names]
    elif len(unknown) == len(dataset.class_names) == len(classes) and _are_numbers(classes):
        found = list(range(len(classes)))  # the model has no names: they are in the same order
    else:
        raise UserError(
            f"{dataset.name} has the class {some(list(map(repr, unknown)))}; the model has "
            f"{some(list(classes), 20)}"
        )
    return np.array(found, dtype=np.int32)


def _are_numbers(classes: Sequence[str]) -> bool:
    return list(classes) == [str(index) for index in range(len(classes))]


def _exists(data: str) -> bool:
    try:
        return Path(resolved(data)).exists()
    except (OSError, ValueError):  # too long for a path, or a zero byte
        return False


def _experiments() -> list[str]:
    return _names(known_experiments)


def _files() -> list[str]:
    return _names(experiment_names)


def _names(known: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return list(known())
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
