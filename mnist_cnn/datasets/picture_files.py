"""Labelled picture files to a `Part`: looked at first, decoded when their pixels are asked for."""

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
from mnist_cnn.datasets.tree import is_picture, shown
from mnist_cnn.errors import UsageError

if TYPE_CHECKING:  # it imports Pillow, which only reading needs
    from mnist_cnn.datasets.pictures import Picture

MAX_SIDE = 256  # of what the pictures are fitted into, unless a size is given
MAX_BYTES = 256 * 2**20  # of one file


@dataclass(frozen=True)
class PictureFile:
    """A picture's file as it was when it was looked at.

    name: its path in a message. key: SHA-256 of the file. size: (height, width), upright.
    grey: whether it has no colours to say, by its header.
    """

    path: Path
    name: str
    key: str
    size: tuple[int, int]
    grey: bool


def look_at(
    paths: Iterable[Path], root: Path, unreadable: list[str] | None = None
) -> tuple[list[PictureFile], list[str]]:
    """Look at picture files, without decoding them.

    Args:
        paths: the files. One whose name does not say that it is a picture, and that is none, is
            left out.
        root: the folder that names in messages begin at.
        unreadable: gets a line on each picture that cannot be read, and all are decoded to see
            that; with None the first such picture is refused.

    Returns:
        The pictures, and the names of the files that are left out.

    Raises:
        UsageError: for a picture that cannot be read, in one line with its name.
    """
    files, left_out = [], []
    for path in paths:
        try:
            file = _look(path, root)
            if unreadable is not None:
                _decode(file, side=64)
            files.append(file)
        except UsageError as problem:
            if not is_picture(path):
                left_out.append(shown(path, root))
            elif unreadable is None:
                raise UsageError(f"{problem}; `mnist-cnn data` lists all such files") from None
            else:
                unreadable.append(str(problem))
    return files, left_out


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """Picture files of one part with the names of their classes.

    groups: of each file, or None.
    """

    files: list[PictureFile]
    classes: list[str]
    groups: NDArray[np.str_] | None = None


def of_files(
    name: str,
    class_names: Sequence[str],
    train: Labelled,
    test: Labelled | None,
    size: tuple[int, int] | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """The data set of picture files.

    A picture that is damaged, or is no longer what was looked at, is refused with a UsageError when
    its part is read.

    Args:
        name: of the data set.
        class_names: in the order of their indices.
        train: to train and validate on.
        test: to test on; None to set about a fifth of `train` aside.
        size: (height, width) that the pictures are fitted into; by default their most frequent one,
            of several such the middle one, at most 256 pixels a side.
        remarks: what the source decided or left out.
    """
    files = train.files + (test.files if test else [])
    shape = _common_shape(files, size)
    sizes = Counter(file.size for file in files)
    notes = list(remarks)
    if set(sizes) != {shape[:2]}:
        listed = [f"{height}x{width} ({count:,})" for (height, width), count in sizes.most_common()]
        notes.append(f"fitted into {shape[0]}x{shape[1]} are pictures of {some(listed, 5)}")
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
        pixels=lambda index: _pixels([files[place] for place in index.tolist()], shape),
        groups=found.groups,
        names=np.array([file.name for file in files], dtype=str),
    )


def _common_shape(files: Sequence[PictureFile], size: tuple[int, int] | None) -> Shape:
    height, width = size or _small(_most_frequent(files))
    grey = all(file.grey or _decode(file, side=1024).grey for file in files)
    return height, width, 1 if grey else 3


def _look(path: Path, root: Path) -> PictureFile:
    from mnist_cnn.datasets import pictures

    name = shown(path, root)
    content = _content(path, name)
    try:
        header = pictures.read_header(content)
    except pictures.UnreadablePicture as problem:
        raise _refusal(name, problem) from None
    key = hashlib.sha256(content).hexdigest()
    return PictureFile(path, name, key, (header.height, header.width), header.grey)


def _pixels(files: Sequence[PictureFile], shape: Shape) -> NDArray[np.uint8]:
    from mnist_cnn.datasets import pictures

    height, width, channels = shape
    pixels = np.empty((len(files), *shape), dtype=np.uint8)
    for place, file in enumerate(files):
        # A larger one is shrunk in two steps, the first of which is much faster.
        picture = _decode(file, side=4 * max(height, width))
        pixels[place] = pictures.fit(picture, height, width, channels)
    return pixels


def _decode(file: PictureFile, side: int) -> "Picture":
    from mnist_cnn.datasets import pictures

    content = _content(file.path, file.name)
    if hashlib.sha256(content).hexdigest() != file.key:
        raise UsageError(f"{file.name} has changed since it was first read; start again")
    try:
        return pictures.decode(content, side=side)
    except pictures.UnreadablePicture as problem:
        raise _refusal(file.name, problem) from None


def _content(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refusal(name, f"it has more than {MAX_BYTES:,} bytes")
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
