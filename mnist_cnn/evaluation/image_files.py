"""Labelled images from files: an .npz with arrays, or a folder with a sub-folder for each class.

Files are a user's, so labels, shapes and ranges are checked: a model predicts something for any
array.
"""

import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cnn.datasets import Images
from mnist_cnn.errors import UserError

Shape = tuple[int, int, int]  # (height, width, channels)

MAX_PIXELS = 4_000_000  # of one image; a larger one is a mistake or a decompression bomb


class Arrays(NamedTuple):
    """Which arrays of an .npz file to evaluate on.

    Attributes:
        x: The name of the images' array.
        y: The name of the labels' array.
        shape: Of one image.
        is_test_set: Whether the file also has a training part, so that these are its test set.
    """

    x: str
    y: str
    shape: Shape
    is_test_set: bool


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_folder(path: Path) -> str:
    """Return the SHA-256 of the names and contents of the images in a folder, in hexadecimal."""
    text = "\n".join(f"{file.relative_to(path)} {digest_of_file(file)}" for file in _files(path))
    return hashlib.sha256(text.encode()).hexdigest()


def arrays_of(path: Path) -> Arrays:
    """Return which arrays an .npz file has: Keras's four, or `x` and `y`. Only headers are read.

    Raises:
        UserError: It has neither, the images have no known shape, or it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            is_test_set = {"x_train", "y_train", "x_test", "y_test"} <= names
            x, y = ("x_test", "y_test") if is_test_set else ("x", "y")
            if not {x, y} <= names:
                raise UserError(
                    f"{path} has the arrays {', '.join(sorted(names)) or 'none'}; wanted are x and "
                    "y, or x_train, y_train, x_test and y_test"
                )
            shape = _shape_in_header(archive, f"{x}.npy")
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if len(shape) == 3:
        shape = (*shape, 1)
    if len(shape) != 4:
        raise UserError(
            f"{path}: {x} has the shape {shape}; wanted is (images, height, width) or "
            "(images, height, width, channels)"
        )
    return Arrays(x, y, (shape[1], shape[2], shape[3]), is_test_set)


def read_arrays(path: Path, arrays: Arrays, classes: int) -> Images:
    """Read the images and labels of an .npz file. Pickled objects are never loaded.

    Args:
        path: The file. Its pixels are uint8, which are divided by 255, or floats in [0, 1].
        arrays: Which arrays to read.
        classes: How many classes the model has. Labels are integers in [0, classes).

    Raises:
        UserError: The pixels or labels are something else, or the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file[arrays.x], file[arrays.y]
    except Exception as error:  # NumPy, zipfile and zlib each raise their own
        raise UserError(f"cannot read {path}: {error}") from None
    return Images(_pixels(path, arrays, x), _labels(path, arrays, y, len(x), classes))


def read_folder(path: Path, shape: Shape, classes: int) -> Images:
    """Read the images of a folder that has a sub-folder for each class.

    If all sub-folders are named with numbers, these are the classes. Otherwise there must be one
    for each class, and they stand for the classes in alphabetical order.

    Args:
        path: The folder.
        shape: Of the model's images. Images must have this size; they are converted to grey or RGB.
        classes: How many classes the model has.

    Raises:
        UserError: An image has another size or cannot be read, or the sub-folders do not fit.
    """
    labels = _class_folders(path, classes)
    files = _files(path)
    if not files:
        raise UserError(f"{path} has no images; wanted is a sub-folder for each class")
    x = np.stack([_image(file, shape) for file in files])
    y = np.array([labels[file.relative_to(path).parts[0]] for file in files], dtype=np.int32)
    return Images(x, y)


def _shape_in_header(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"{name} has the unknown format version {version}")
        shape: tuple[int, ...] = readers[version](file)[0]
    return shape


def _pixels(path: Path, arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / 255
    if x.dtype.kind != "f" or not len(x) or not (x.min() >= 0 and x.max() <= 1):  # false for NaN
        found = f"{x.dtype} from {x.min()} to {x.max()}" if x.size else "no images"
        raise UserError(f"{path}: {arrays.x} has {found}; wanted are uint8, or floats in [0, 1]")
    return x.astype(np.float32, copy=False).reshape(-1, *arrays.shape)


def _labels(
    path: Path, arrays: Arrays, y: NDArray[Any], images: int, classes: int
) -> NDArray[np.int32]:
    if y.shape == (images, 1):
        y = y[:, 0]  # as in Keras's CIFAR
    if y.shape != (images,) or y.dtype.kind not in "iu":
        raise UserError(
            f"{path}: {arrays.y} is {y.dtype} of shape {y.shape}; wanted is an integer for each of "
            f"the {images} images"
        )
    if y.min() < 0 or y.max() >= classes:
        raise UserError(
            f"{path}: {arrays.y} has classes from {y.min()} to {y.max()}; the model has {classes}, "
            f"from 0 to {classes - 1}"
        )
    return y.astype(np.int32)


def _class_folders(path: Path, classes: int) -> dict[str, int]:
    """Return the class of each sub-folder."""
    names = sorted(item.name for item in path.iterdir() if item.is_dir() and item.name[0] != ".")
    if names and all(name.isascii() and name.isdigit() for name in names):
        labels = {name: int(name) for name in names}
        valid = max(labels.values()) < classes
    else:
        labels = {name: index for index, name in enumerate(names)}
        valid = len(names) == classes
    if not valid:
        raise UserError(
            f"{path} has the sub-folders {', '.join(names) or 'none'}; the model has {classes} "
            f"classes: name them 0 to {classes - 1}, or have one for each"
        )
    return labels


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("[!.]*/[!.]*") if file.is_file())


def _image(path: Path, shape: Shape) -> NDArray[np.float32]:
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)  # reads the header only, so the size is checked in time
        size = (image.height, image.width)
        if image.height * image.width > MAX_PIXELS or size != (height, width):
            raise UserError(
                f"{path} is {image.height}x{image.width}, the model takes {height}x{width}"
            )
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    except UserError:
        raise
    except Exception as error:  # Pillow's readers each raise their own
        raise UserError(f"{path} is not a readable image: {error}") from None
    return pixels.reshape(shape) / np.float32(255)
