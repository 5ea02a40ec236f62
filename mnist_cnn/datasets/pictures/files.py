"""Turns labelled picture files into a `Dataset`: inspected first, decoded on demand."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import some
from mnist_cnn.datasets.parts import Part, Shape, assemble
from mnist_cnn.datasets.paths.tree import is_picture, shown
from mnist_cnn.errors import UsageError

if TYPE_CHECKING:  # it imports Pillow, which only decoding needs
    from mnist_cnn.datasets.pictures.decoder import Picture

MAX_SIDE = 256  # of the default size, in pixels


@dataclass(frozen=True)
class PictureFile:
    """A picture file as it was when it was inspected.

    Attributes:
        path: Where it is.
        name: How messages refer to it.
        key: SHA-256 of the file, in hexadecimal.
        size: (height, width) of the upright picture.
        grey: Whether its format stores no colour.
    """

    path: Path
    name: str
    key: str
    size: tuple[int, int]
    grey: bool


def inspect(
    paths: Iterable[Path], root: Path, unreadable: list[str] | None = None
) -> tuple[list[PictureFile], list[str]]:
    """Inspect picture files without decoding them.

    Args:
        paths: The files. Those that have no suffix of a picture and are not pictures are skipped.
        root: The folder that names in messages are relative to.
        unreadable: A list that receives one line for each picture that cannot be read. All pictures
            are decoded to find these. None raises an error for the first one instead.

    Returns:
        The pictures, and the names of the skipped files.

    Raises:
        UsageError: For a picture that cannot be read.
    """
    files, skipped = [], []
    for path in paths:
        try:
            file = _inspect(path, root)
            if unreadable is not None:
                _decode(file, side=64)
            files.append(file)
        except UsageError as problem:
            if not is_picture(path):
                skipped.append(shown(path, root))
            elif unreadable is None:
                raise UsageError(f"{problem}; `mnist-cnn data` lists all such files") from None
            else:
                unreadable.append(str(problem))
    return files, skipped


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """The picture files of one part.

    Attributes:
        files: The files.
        classes: The class name of each file.
        groups: As in `Images`.
    """

    files: list[PictureFile]
    classes: list[str]
    groups: NDArray[np.str_] | None = None


def of_files(
    name: str,
    class_names: Sequence[str],
    train: Labelled,
    test: Labelled | None,
    size: tuple[int, int] | Shape | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Make a data set from picture files.

    Reading its images raises a UsageError if a file is damaged or has changed since it was
    inspected.

    Args:
        name: The name of the data set.
        class_names: The names of the classes, in the order of their indices.
        train: The pictures to train and validate on.
        test: The test pictures. None sets aside about a fifth of `train`.
        size: (height, width) to fit the pictures into, or (height, width, channels). Default: the
            most frequent size, or the middle one of several that are equally frequent, at most 256
            pixels a side.
        remarks: The source's decisions, one line each.
    """
    files = train.files + (test.files if test else [])
    shape = _common_shape(files, size)
    sizes = Counter(file.size for file in files)
    notes = list(remarks)
    if set(sizes) != {shape[:2]}:
        listed = [f"{height}x{width} ({count:,})" for (height, width), count in sizes.most_common()]
        notes.append(
            f"pictures are fitted into {shape[0]}x{shape[1]}; their sizes: {some(listed, 5)}"
        )
    return assemble(
        name,
        shape,
        class_names,
        _part(train, class_names, shape),
        _part(test, class_names, shape) if test else None,
        notes,
    )


def _part(found: Labelled, class_names: Sequence[str], shape: Shape) -> Part:
    number = {name: index for index, name in enumerate(class_names)}
    files = found.files
    return Part(
        labels=np.array([number[name] for name in found.classes], dtype=np.int32),
        keys=[file.key for file in files],
        shape=shape,
        pixels=lambda index: _pixels([files[place] for place in index.tolist()], shape),
        groups=found.groups,
        names=np.array([file.name for file in files], dtype=str),
    )


def _common_shape(files: Sequence[PictureFile], size: tuple[int, int] | Shape | None) -> Shape:
    if size is not None and len(size) == 3:
        return size
    height, width = size or _small(_most_frequent(files))
    grey = all(file.grey or _decode(file, side=1024).grey for file in files)
    return height, width, 1 if grey else 3


def _inspect(path: Path, root: Path) -> PictureFile:
    from mnist_cnn.datasets.pictures import decoder

    name = shown(path, root)
    content = _content(path, name)
    try:
        header = decoder.read_header(content)
    except decoder.UnreadablePicture as problem:
        raise _refusal(name, problem) from None
    key = hashlib.sha256(content).hexdigest()
    return PictureFile(path, name, key, (header.height, header.width), header.grey)


def _pixels(files: Sequence[PictureFile], shape: Shape) -> NDArray[np.uint8]:
    from mnist_cnn.datasets.pictures import decoder

    height, width, channels = shape
    pixels = np.empty((len(files), *shape), dtype=np.uint8)
    for place, file in enumerate(files):
        picture = _decode(file, side=decoder.side_for(height, width))
        pixels[place] = decoder.fit(picture, height, width, channels)
    return pixels


def _decode(file: PictureFile, side: int) -> "Picture":
    from mnist_cnn.datasets.pictures import decoder

    content = _content(file.path, file.name)
    if hashlib.sha256(content).hexdigest() != file.key:
        raise UsageError(f"{file.name} has changed since it was first read; start again")
    try:
        return decoder.decode(content, side=side)
    except decoder.UnreadablePicture as problem:
        raise _refusal(file.name, problem) from None


def _content(path: Path, name: str) -> bytes:
    from mnist_cnn.datasets.pictures import decoder

    try:
        if path.stat().st_size > decoder.MAX_BYTES:
            raise _refusal(name, f"it has more than {decoder.MAX_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise _refusal(name, error.strerror) from None


def _most_frequent(files: Sequence[PictureFile]) -> tuple[int, int]:
    counts = Counter(file.size for file in files)
    most = max(counts.values())
    sizes = [size for size, count in counts.items() if count == most]
    return sorted(sizes, key=lambda size: (size[0] * size[1], size))[len(sizes) // 2]


def _small(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _refusal(name: str, problem: object) -> UsageError:
    return UsageError(f"{name} cannot be read: {problem}")
