"""The data set at a user's path, and a cache of its facts until its files change.

mlruns/data/<name>.json holds the facts of one path: its digest, shape, classes and warnings, and a
stamp of its files. While the stamp is the same, no process opens the files again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from mnist_cnn.datasets import Dataset, open_dataset
from mnist_cnn.datasets.paths.tree import shown
from mnist_cnn.datasets.source import files_of
from mnist_cnn.datasets.survey import warnings
from mnist_cnn.errors import UsageError, UserError, full_disk
from mnist_cnn.experiment_id import data_name
from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import make_folder, replace_file
from mnist_cnn.mlruns import NODE, kept_data

_FORMAT = 1  # of the facts; other formats are ignored


def dataset_at(path: str) -> Dataset:
    """Return the data set at a path, as its files are now.

    Args:
        path: An absolute path with links followed.

    Raises:
        UsageError: As `open_dataset` does. Reading the images raises it too, if the files have
            changed since.
        UserError: The facts cannot be written, for example because the disk is full.
    """
    return _as_stamped(path, stamp(path))


def stamp(path: str) -> str:
    """A digest of the path, size, time and inode of each file that the data consist of.

    A node of a cluster need not have the files: the search sends it the images and this digest.

    Raises:
        UsageError: The path does not exist, or a folder cannot be read.
    """
    if sent := sent_facts(path):
        return str(sent["stamp"])
    digest = hashlib.sha256()
    for file in files_of(path):
        try:
            found = file.stat()
        except OSError as error:
            raise UsageError(f"cannot read {shown(file)}: {error.strerror}") from None
        facts = (str(file), found.st_size, found.st_mtime_ns, found.st_ino)
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def warnings_at(path: str) -> tuple[str, ...]:
    """Return the warnings about the data at a path, see `datasets.survey`."""
    _as_stamped(path, now := stamp(path))
    return tuple(_facts(path, now)["warnings"])


def facts_file(path: str) -> Path:
    """Return the file with the cached facts of the data at a path."""
    return kept_data() / f"{data_name(path)}.json"


def sent_facts(path: str) -> dict[str, Any] | None:
    """Return the facts of data that a search sent to this node; None if this is not a node."""
    kept = _read(facts_file(path)) if NODE in os.environ else None
    return kept if kept and kept["path"] == path else None


def known_paths() -> list[str]:
    """The paths with cached facts."""
    found = [_read(file) for file in sorted(kept_data().glob("*.json"))]
    return [str(facts["path"]) for facts in found if facts]


@lru_cache(maxsize=1)
def _as_stamped(path: str, stamped: str) -> Dataset:
    facts = _facts(path, stamped)

    def opened() -> Dataset:
        dataset = _open(path, stamped)
        if dataset.digest != facts["digest"]:
            raise UsageError(
                f"{shown(Path(path))} has changed since it was first read; start again"
            )
        return dataset

    return Dataset(
        name=facts["name"],
        digest=facts["digest"],
        shape=tuple(facts["shape"]),
        classes=len(facts["class_names"]),
        class_names=tuple(facts["class_names"]),
        train_images=facts["train_images"],
        model_name=data_name(path),
        remarks=tuple(facts["remarks"]),
        train=lambda: opened().train(),
        test=lambda: opened().test(),
    )


@lru_cache(maxsize=1)  # a process opens it once
def _open(path: str, stamped: str) -> Dataset:
    return open_dataset(path)


def _facts(path: str, stamped: str) -> dict[str, Any]:
    """Return the facts of the files with this stamp: the cached ones, or new ones.

    If several processes want them at once, one makes them and the others wait.
    """
    file = facts_file(path)
    if kept := _kept(file, path, stamped):
        return kept
    with ExitStack() as stack:
        with writing():
            make_folder(file.parent)
            stack.enter_context(file_lock(file.with_suffix(".lock")))
        if kept := _kept(file, path, stamped):
            return kept
        found = _new_facts(path, stamped)
        with writing():
            replace_file(file, lambda place: place.write_text(json.dumps(found, indent=1), "utf-8"))
        return found


def _new_facts(path: str, stamped: str) -> dict[str, Any]:
    dataset = _open(path, stamped)
    found = {
        "format": _FORMAT,
        "path": path,
        "stamp": stamped,
        "name": dataset.name,
        "digest": dataset.digest,
        "shape": dataset.shape,
        "class_names": dataset.class_names,
        "train_images": dataset.train_images,
        "remarks": dataset.remarks,
        "warnings": warnings(dataset),
    }
    if stamp(path) != stamped:
        raise UsageError(f"{shown(Path(path))} changed while it was read; type the command again")
    return found


@contextmanager
def writing() -> Iterator[None]:
    """Turn a failure to write to the folder of kept data into a message.

    Raises:
        UserError: It cannot be written to, for example because the disk is full.
    """
    try:
        yield
    except OSError as error:
        reason = UserError(f"cannot write to {kept_data()}: {error.strerror}")
        raise full_disk(error) or reason from None


def _kept(file: Path, path: str, stamped: str) -> dict[str, Any] | None:
    facts = _read(file)
    return facts if facts and (facts["path"], facts["stamp"]) == (path, stamped) else None


def _read(file: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == _FORMAT else None
