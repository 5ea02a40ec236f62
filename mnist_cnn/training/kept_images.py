"""The images of a search in memory-mapped files, which are made once for all workers.

A file holds bytes if that loses nothing, which is a quarter of the size of floats. Workers share it
in the system's page cache, and a set that is larger than the memory can be trained on.

Files may be removed at any time. The system keeps those that a worker has mapped until it ends, and
the next worker makes them again.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.datasets.check import check_batch_size, checked_split
from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import make_folder, sync_folder, sync_tree
from mnist_cnn.mlruns import kept_data

_PARTS = ("train", "validation")
_FACTS_FILE = "facts.json"  # the names and the digest of the data set
_PARTLY = ".part"  # the suffix of a folder that is being written or removed
_PIECE_BYTES = 2**25  # of pixels that are in memory while a file is written

Facts = dict[str, str]


def kept_split(
    dataset: Dataset, fraction: float, seed: int, batch_size: int
) -> tuple[Images, Images]:
    """Return the images that a search uses, see `checked_split`.

    Files of an earlier version of the data set are removed.

    Returns:
        The images to train on and those to validate on. Pixels are memory-mapped: uint8, or float32
        in [0, 1] if the data set has values other than multiples of 1/255. Names and groups are
        left out.

    Raises:
        UsageError: As `checked_split` does.
        OSError: The files cannot be written.
    """
    folder = folder_of(dataset, fraction, seed)
    make_folder(folder.parent)
    with file_lock(folder.with_suffix(".lock")):
        kept = _read(folder)
        if kept is None:
            parts = checked_split(dataset, fraction, seed, batch_size)
            _write(folder, _facts(dataset), dict(zip(_PARTS, parts, strict=True)))
            kept = _read(folder)
            _remove_earlier(dataset)
    assert kept is not None
    check_batch_size(dataset, kept[0], batch_size)  # another one than when they were split, perhaps
    return kept


def remove_kept(unwanted: Callable[[Facts], bool]) -> None:
    """Remove kept images, and partial ones that a kill has left.

    Args:
        unwanted: Whether to remove those of a data set, by its `name`, `model_name` and `digest`.
    """
    for folder in [path for path in kept_data().glob("*") if path.is_dir()]:
        doomed = folder.with_suffix(_PARTLY)
        if folder != doomed and not unwanted(_facts_of(folder)):
            continue
        # A folder that cannot be removed, or is in use now, stays.
        with suppress(OSError), file_lock(folder.with_suffix(".lock"), wait_seconds=0):
            if folder != doomed:  # so that a kill leaves no partial one
                shutil.rmtree(doomed, ignore_errors=True)
                folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _remove_earlier(dataset: Dataset) -> None:
    """Remove the images of a data set that were kept before its files changed."""
    now = _facts(dataset)

    def is_earlier(facts: Facts) -> bool:
        names = ("name", "model_name")
        return all(facts.get(name) == now[name] for name in names) and facts != now

    remove_kept(is_earlier)


def _facts(dataset: Dataset) -> Facts:
    return {"name": dataset.name, "model_name": dataset.model_name, "digest": dataset.digest}


def _facts_of(folder: Path) -> Facts:
    try:
        return dict(json.loads((folder / _FACTS_FILE).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def folder_of(dataset: Dataset, fraction: float, seed: int) -> Path:
    """Return the folder of the files that `kept_split` makes."""
    name = re.sub("[^A-Za-z0-9_-]", "_", dataset.model_name)[:48]
    facts = repr((dataset.digest, dataset.shape, dataset.classes, fraction, seed))
    return kept_data() / f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def _read(folder: Path) -> tuple[Images, Images] | None:
    """Map the files in a folder; None if they are missing or damaged."""
    try:
        train, validation = (
            Images(
                np.load(folder / f"{part}-x.npy", mmap_mode="r"),
                np.load(folder / f"{part}-y.npy"),
            )
            for part in _PARTS
        )
    except (OSError, ValueError, EOFError):
        return None
    return train, validation


def _write(folder: Path, facts: Facts, parts: dict[str, Images]) -> None:
    """Write the files, all of them or none."""
    partly = folder.with_suffix(_PARTLY)
    shutil.rmtree(partly, ignore_errors=True)
    try:
        partly.mkdir()
        for part, images in parts.items():
            with (partly / f"{part}-x.npy").open("wb") as file:
                _write_pixels(file, images)
            np.save(partly / f"{part}-y.npy", images.y)
        (partly / _FACTS_FILE).write_text(json.dumps(facts), "utf-8")
        sync_tree(partly)
        shutil.rmtree(folder, ignore_errors=True)  # damaged
        partly.rename(folder)
    except BaseException:
        shutil.rmtree(partly, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _write_pixels(file: BinaryIO, images: Images) -> None:
    """Write pixels as an .npy file: not through a map, in which a full disk would be fatal."""
    as_bytes = images.x.dtype == np.uint8 or all(_are_levels(piece) for piece in _pieces(images))
    kind = np.dtype(np.uint8 if as_bytes else np.float32)
    header = {"descr": kind.str, "fortran_order": False, "shape": images.x.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in _pieces(images):
        if as_bytes and piece.dtype != np.uint8:
            piece = _levels(piece)
        file.write(np.ascontiguousarray(piece, kind).tobytes())


def _pieces(images: Images) -> Iterator[NDArray[np.uint8] | NDArray[np.float32]]:
    rows = max(1, _PIECE_BYTES // max(1, int(np.prod(images.x.shape[1:]))))
    for start in range(0, len(images), rows):
        yield images.x[start : start + rows]


def _are_levels(piece: NDArray[np.uint8] | NDArray[np.float32]) -> bool:
    """Whether floats are exactly what `Images.scaled` makes of bytes."""
    return np.array_equal(_levels(piece).astype(np.float32) / np.float32(255), piece)


def _levels(piece: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(piece * np.float32(255)), dtype=np.uint8)
