"""The check of a data set before a model is trained or evaluated on it."""

import numpy as np

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images, OnDemand
from mnist_cnn.datasets.naming import some
from mnist_cnn.datasets.splitting import split
from mnist_cnn.errors import UsageError


def check(
    dataset: Dataset,
    *,
    validation_fraction: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> None:
    """Check that a data set is consistent and large enough.

    Reads both parts. No model sees the test images, so nothing can be chosen by them.

    Args:
        dataset: The data set, from a source or made by hand.
        validation_fraction: The share of the training images that a search validates on. None skips
            the checks of the split.
        batch_size: The number of images in a training step. None skips its check.
        seed: The seed of the split into training and validation images.

    Raises:
        UsageError: For wrong shapes, dtypes or ranges, values that are not finite, labels that are
            not classes, lengths that disagree, a class missing from either part, and too few
            images. One line names the array, file, row or class.
    """
    check_parts(dataset, train := dataset.train(), dataset.test())
    if validation_fraction is not None:
        _check_split(dataset, *split(train, validation_fraction, seed), batch_size)


def checked_split(
    dataset: Dataset, fraction: float, seed: int, batch_size: int
) -> tuple[Images, Images]:
    """Read, check and split the images that a search uses. The test images are not read.

    Args:
        dataset: The data set.
        fraction: The share of the training images to validate on, in (0, 1).
        seed: The seed of the split.
        batch_size: The number of images in a training step.

    Returns:
        The images to train on and those to validate on, with pixels as the data set has them.

    Raises:
        UsageError: As `check` does.
    """
    _check_facts(dataset)
    train = dataset.train()
    check_images(dataset, train, "training")
    _check_classes(dataset, train, "training", 2)
    parts = split(train, fraction, seed)
    _check_split(dataset, *parts, batch_size)
    return parts


def check_parts(dataset: Dataset, train: Images, test: Images) -> None:
    """Check parts that have already been read, as `check` does without the split."""
    _check_facts(dataset)
    # With one training image, none would be left to validate on.
    for part, images, least in (("training", train, 2), ("test", test, 1)):
        check_images(dataset, images, part)
        _check_classes(dataset, images, part, least)


def check_images(dataset: Dataset, images: Images, part: str) -> None:
    """Check that images match their data set.

    Args:
        dataset: The data set of the images.
        images: One of its parts.
        part: How messages refer to the part, such as `training`.

    Raises:
        UsageError: As `check` does for a single part.
    """
    what = f"data set {dataset.name!r}: the {part} images"
    if not isinstance(images, Images):
        raise UsageError(f"{what} are {type(images).__name__}, not Images")
    for name, array in (("x", images.x), ("y", images.y)):
        if not isinstance(array, np.ndarray | OnDemand):
            raise UsageError(f"{what}' {name} is {type(array).__name__}, not a NumPy array")
    if images.x.shape[1:] != dataset.shape:
        expected = ", ".join(map(str, dataset.shape))
        raise UsageError(f"{what}' x has the shape {images.x.shape}; expected (n, {expected})")
    for name, found in (("y", images.y), ("groups", images.groups), ("names", images.names)):
        if found is not None and (found.ndim == 0 or len(found) != len(images.x)):
            count = len(found) if found.ndim else "no"
            raise UsageError(f"{what}' x has {len(images.x)} entries, {name} has {count}")
    for name, found in (("groups", images.groups), ("names", images.names)):
        if found is not None and found.ndim != 1:
            raise UsageError(f"{what}' {name} has the shape {found.shape}; expected (n,)")
    if not len(images.x):
        raise UsageError(f"{what} are empty")
    _check_pixels(what, images)
    _check_labels(what, images, dataset)


def _check_facts(dataset: Dataset) -> None:
    what = f"data set {dataset.name!r}"
    shape = dataset.shape
    if len(shape) != 3 or not all(int(side) == side > 0 for side in shape):
        raise UsageError(f"{what} has the shape {shape}; expected (height, width, channels)")
    names = dataset.class_names
    if len(names) != dataset.classes:
        raise UsageError(f"{what} has {dataset.classes} classes but {len(names)} class names")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{what} has two classes called {twice[0]!r}")
    if dataset.classes < 2:
        only = f": {names[0]!r}" if names else ""
        raise UsageError(f"{what} has {dataset.classes} class{only}; expected two or more")


def _check_pixels(what: str, images: Images) -> None:
    x = images.x
    if x.dtype == np.uint8:
        return
    if x.dtype != np.float32:
        raise UsageError(
            f"{what}' x is {x.dtype}; expected uint8, or float32 in [0, 1], such as "
            "x.astype('float32') / 255"
        )
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:  # false for NaN
        return
    wrong = ~((x >= 0) & (x <= 1))
    place = int(np.flatnonzero(wrong.reshape(len(x), -1).any(axis=1))[0])
    value = x[place][wrong[place]][0]
    raise UsageError(f"{what}' x has {value:g} in {images.name(place)}; expected [0, 1]")


def _check_labels(what: str, images: Images, dataset: Dataset) -> None:
    y, classes = images.y, dataset.classes
    if y.ndim == 2:
        if y.shape[1] != classes:
            raise UsageError(
                f"{what}' y has the shape {y.shape}; expected (n,), or one-hot (n, {classes})"
            )
        wrong = ~((y >= 0).all(axis=1) & np.isclose(y.sum(axis=1), 1))  # also true for NaN
        found = "a row that is not one-hot"
    elif y.ndim != 1 or y.dtype.kind not in "iu":
        raise UsageError(
            f"{what}' y is {y.dtype} of shape {y.shape}; expected whole numbers from 0 to "
            f"{classes - 1}, such as y.astype('int32')"
        )
    else:
        wrong = (y < 0) | (y >= classes)
        found = ""
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"{what}' y has {found or y[place]} for {images.name(place)}; expected a class from 0 "
            f"to {classes - 1}"
        )


def _check_classes(dataset: Dataset, images: Images, part: str, least: int) -> None:
    counts = np.bincount(images.labels, minlength=dataset.classes).tolist()
    few = [index for index, count in enumerate(counts) if count < least]
    if few:
        names = [repr(dataset.class_names[index]) for index in few]
        others = f", and so have {some(names[1:])}" if names[1:] else ""
        aside = ""
        if dataset.whole is not None and part == "training":
            aside = f" besides one that is set aside to test on, so {least + 1} or more in all"
        raise UsageError(
            f"data set {dataset.name!r}: class {names[0]} has {_count(counts[few[0]], part)}"
            f"{others}; expected {least} or more{aside}"
        )


def _check_split(
    dataset: Dataset, train: Images, validation: Images, batch_size: int | None
) -> None:
    what = f"data set {dataset.name!r}"
    if not len(train) or not len(validation):
        raise UsageError(
            f"{what}: {_count(len(train) + len(validation), 'training')} cannot be split into a "
            "training and a validation part; add images, or groups if there are any"
        )
    if batch_size is not None:
        check_batch_size(dataset, train, batch_size)
    missing = np.flatnonzero(np.bincount(train.labels, minlength=dataset.classes) == 0)
    if len(missing):
        raise UsageError(
            f"{what}: class {dataset.class_names[missing[0]]!r} has no training images "
            "after the split; add images of it, or groups if there are any"
        )


def check_batch_size(dataset: Dataset, train: Images, batch_size: int) -> None:
    """Check that the images that remain to train on fill a batch.

    Raises:
        UsageError: They do not.
    """
    if len(train) < batch_size:
        raise UsageError(
            f"data set {dataset.name!r}: {_count(len(train), 'training')} remain after the split, "
            f"fewer than a batch of {batch_size}; add images or reduce batch_size"
        )


def _count(number: int, part: str) -> str:
    return f"{number or 'no'} {part} image{'' if number == 1 else 's'}"
