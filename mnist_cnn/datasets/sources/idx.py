"""IDX files, the format of MNIST, Fashion-MNIST, KMNIST, EMNIST and QMNIST."""

import gzip
import re
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.arrays.assembly import Arrays, of_arrays
from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.naming import Where, printable, reason
from mnist_cnn.datasets.paths.roles import name_of
from mnist_cnn.datasets.paths.tree import files_in, root_of, shown
from mnist_cnn.datasets.sources import emnist
from mnist_cnn.errors import UsageError

_NAME = re.compile(
    r"(?P<set>.*?)[-_]?(?P<part>train|t10k|test)[-_](?P<content>images|labels)[-.]idx\d[-.]\w+"
    r"(\.gz)?",
    re.IGNORECASE,
)
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_EXPECTED = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k, gzipped or not"
)


def idx(path: str | Path) -> Dataset:
    """Images and labels in MNIST's own format, gzipped or not.

    Files have MNIST's names, such as `train-images-idx3-ubyte.gz`, with any prefix. EMNIST's
    transposed images are put upright, and its labels become letters. QMNIST's writers become
    groups. Without test files, about a fifth of the images is set aside to test on.

    Args:
        path: The folder with the files, or one of the files if the folder has several sets.

    Raises:
        UsageError: If files are missing, damaged or do not belong together.
    """
    root = root_of(path)
    name, parts = _choose(root)
    read = {part: _read_part(files, name) for part, files in parts.items()}
    return of_arrays(
        printable(name) or name_of(root if root.is_dir() else root.parent),
        read,
        emnist.class_names(name),
        emnist.remarks(name),
    )


def sets_in(folder: Path) -> dict[str, dict[str, dict[str, Path]]]:
    """The IDX files in a folder, by name of the set, part and content."""
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in files_in(folder, folder):
        if match := _NAME.fullmatch(path.name):
            part = "train" if match["part"].lower() == "train" else "test"
            parts = found.setdefault(match["set"], {})
            parts.setdefault(part, {}).setdefault(match["content"].lower(), path)
    return found


def idx_files(path: Path) -> list[Path]:
    """The IDX files in a folder, or those of the set that a file belongs to; else none."""
    sets = _sets_at(path).values()
    return [file for parts in sets for files in parts.values() for file in files.values()]


def is_idx(start: bytes) -> bool:
    """Whether a file with these first bytes, unpacked, is an IDX file."""
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in _TYPES and 0 < start[3] < 9


def _sets_at(root: Path) -> dict[str, dict[str, dict[str, Path]]]:
    """The sets in a folder, or the one that a file belongs to, see `sets_in`."""
    if root.is_dir():
        return sets_in(root)
    if not _NAME.fullmatch(root.name):
        return {}
    return {
        name: parts
        for name, parts in sets_in(root.parent).items()
        if any(root in files.values() for files in parts.values())
    }


def _choose(root: Path) -> tuple[str, dict[str, dict[str, Path]]]:
    """The name of the set at a path, and its files by part and content."""
    folder = root if root.is_dir() else root.parent
    sets = _sets_at(root)
    if not sets:
        raise UsageError(f"{shown(root)} has no IDX files; expected {_EXPECTED}")
    if len(sets) > 1:
        raise UsageError(
            f"{shown(root)} has several data sets: {', '.join(sorted(sets))}; give the path of a "
            "file of one of them"
        )
    ((name, parts),) = sets.items()
    for part in {"train": None} | parts:
        for content in ("images", "labels"):
            if content not in parts.get(part, {}):
                raise UsageError(
                    f"{shown(folder)} lacks the {part} {content}; expected {_EXPECTED}"
                )
    return name, parts


def _read_part(files: dict[str, Path], name: str) -> Arrays:
    x, y = read_idx(files["images"]), read_idx(files["labels"])
    if emnist.is_emnist(name) and x.ndim > 2:
        x = emnist.upright(x)
    groups = None
    if y.ndim == 2 and y.shape[1] == 8:  # QMNIST: the first is the class, the third the writer
        y, groups = y[:, 0], y[:, 2]
    where = [Where(shown(files[content])) for content in ("images", "labels")]
    return Arrays(x, y, where[0], where[1], groups)


def read_idx(path: Path) -> NDArray[Any]:
    """Read the array in an IDX file, gzipped or not.

    Raises:
        UsageError: If it is not such a file, or is too short or too long.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {shown(path)}: {reason(error)}") from None
    if not is_idx(content[:4]):
        raise UsageError(f"{shown(path)} is not an IDX file")
    dimensions, kind = content[3], np.dtype(_TYPES[content[2]])
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise UsageError(f"{shown(path)} is cut short")
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    size = prod(shape) * kind.itemsize
    if len(content) - start != size:
        raise UsageError(
            f"{shown(path)} has {len(content) - start:,} bytes of content, but its header says "
            f"{size:,}"
        )
    found = np.frombuffer(content, kind, offset=start).reshape(shape)
    return found.astype(kind.newbyteorder("="))
