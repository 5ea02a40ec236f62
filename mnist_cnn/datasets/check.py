"""The check of a data set before anything is trained on it or asked about it."""

import numpy as np

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.images import Images
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
    """See that a data set is what it says, and enough to search on.

    Both parts are read. No model is asked, so nothing is learnt from the test images.

    Args:
        dataset: from a source of this package, or made by hand.
        validation_fraction: share of the training images that a search validates on; None to look
            at the two parts only.
        batch_size: how many images a step takes, if a search follows.
        seed: of the split into training and validation images.

    Raises:
        UsageError: in one line that names the array, the file, the row or the class, for shapes,
            types or ranges that are not as `Images` says, numbers that are not finite, labels that
            are no class, lengths that do not agree, groups that cannot be divided, a class that one
            of the parts lacks, and too few images.
    """
    check_parts(dataset, train := dataset.train(), dataset.test())
    if validation_fraction is not None:
        _check_split(dataset, *split(train, validation_fraction, seed), batch_size)


def check_parts(dataset: Dataset, train: Images, test: Images) -> None:
    """As `check`, of parts that are read already, and not of how a search divides them."""
    _check_facts(dataset)
    check_images(dataset, train, "training")
    check_images(dataset, test, "test")
    _check_classes(dataset, train, test)


def check_images(dataset: Dataset, images: Images, part: str) -> None:
    """See that images are what their data set says.

    Args:
        dataset: that the images are of.
        images: one of its parts.
        part: what a message calls it, as `training`.

    Raises:
        UsageError: as `check` does, but for what only the two parts together show.
    """
    what = f"data set {dataset.name!r}: the {part} images"
    if not isinstance(images, Images):
        raise UsageError(f"{what} are {type(images).__name__}, not Images")
    for name, array in (("x", images.x), ("y", images.y)):
        if not isinstance(array, np.ndarray):
            raise UsageError(f"{what}' {name} is {type(array).__name__}, not a NumPy array")
    if images.x.shape[1:] != dataset.shape:
        wanted = ", ".join(map(str, dataset.shape))
        raise UsageError(f"{what}' x has the shape {images.x.shape}; wanted is (n, {wanted})")
    for name, found in (("y", images.y), ("groups", images.groups), ("names", images.names)):
        if found is not None and (found.ndim == 0 or len(found) != len(images.x)):
            count = len(found) if found.ndim else "no"
            raise UsageError(f"{what}' x has {len(images.x)} entries, {name} has {count}")
    if not len(images.x):
        raise UsageError(f"{what} are none")
    _check_pixels(what, images)
    _check_labels(what, images, dataset)


def _check_facts(dataset: Dataset) -> None:
    what = f"data set {dataset.name!r}"
    shape = dataset.shape
    if len(shape) != 3 or not all(int(side) == side > 0 for side in shape):
        raise UsageError(f"{what} has the shape {shape}; wanted is (height, width, channels)")
    names = dataset.class_names
    if len(names) != dataset.classes:
        raise UsageError(f"{what} has {dataset.classes} classes, and names for {len(names)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{what} has two classes of the name {twice[0]!r}")
    if dataset.classes < 2:
        only = f": {names[0]!r}" if names else ""
        raise UsageError(f"{what} has {dataset.classes} class{only}; wanted are two or more")


def _check_pixels(what: str, images: Images) -> None:
    x = images.x
    if x.dtype == np.uint8:
        return
    if x.dtype != np.float32:
        raise UsageError(
            f"{what}' x is {x.dtype}; wanted is float32 in [0, 1], as x.astype('float32') / 255, "
            "or uint8"
        )
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:  # false for NaN
        return
    wrong = ~((x >= 0) & (x <= 1))
    place = int(np.flatnonzero(wrong.reshape(len(x), -1).any(axis=1))[0])
    value = x[place][wrong[place]][0]
    raise UsageError(f"{what}' x has {value:g} in {images.name(place)}; wanted is [0, 1]")


def _check_labels(what: str, images: Images, dataset: Dataset) -> None:
    y, classes = images.y, dataset.classes
    if y.ndim == 2:
        if y.shape[1] != classes:
            raise UsageError(
                f"{what}' y has the shape {y.shape}; wanted is (n,), or one-hot (n, {classes})"
            )
        wrong = ~((y >= 0).all(axis=1) & np.isclose(y.sum(axis=1), 1))  # of NaN too
        found = "a row that is not one-hot"
    elif y.ndim != 1 or y.dtype.kind not in "iu":
        raise UsageError(
            f"{what}' y is {y.dtype} of shape {y.shape}; wanted are whole numbers from 0 to "
            f"{classes - 1}, as y.astype('int32')"
        )
    else:
        wrong = (y < 0) | (y >= classes)
        found = ""
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"{what}' y has {found or y[place]} for {images.name(place)}; wanted is a class from 0 "
            f"to {classes - 1}"
        )


def _check_classes(dataset: Dataset, train: Images, test: Images) -> None:
    # One image to train on leaves none to validate on.
    for part, images, least in (("training", train, 2), ("test", test, 1)):
        counts = np.bincount(images.labels, minlength=dataset.classes).tolist()
        few = [index for index, count in enumerate(counts) if count < least]
        if few:
            names = [repr(dataset.class_names[index]) for index in few]
            more = f", as have {some(names[1:])}" if names[1:] else ""
            count = _count(counts[few[0]], part)
            raise UsageError(
                f"data set {dataset.name!r}: class {names[0]} has {count}{more}; "
                f"wanted {'is 1' if least == 1 else f'are {least}'} or more"
            )


def _check_split(
    dataset: Dataset, train: Images, validation: Images, batch_size: int | None
) -> None:
    what = f"data set {dataset.name!r}"
    if not len(train) or not len(validation):
        raise UsageError(
            f"{what}: {_count(len(train) + len(validation), 'training')} cannot be divided into a "
            "part to train on and one to validate on; add images, or groups if there are any"
        )
    if batch_size is not None and len(train) < batch_size:
        raise UsageError(
            f"{what}: {_count(len(train), 'training')} left without the validation images, fewer "
            f"than a batch of {batch_size}; add images, or make batch_size smaller"
        )
    missing = np.flatnonzero(np.bincount(train.labels, minlength=dataset.classes) == 0)
    if len(missing):
        raise UsageError(
            f"{what}: class {dataset.class_names[missing[0]]!r} has no training images left "
            "without the validation images; add images of it, or groups if there are any"
        )


def _count(number: int, part: str) -> str:
    return f"{number or 'no'} {part} image{'' if number == 1 else 's'}"
