"""A .keras file as an archive: its digest and its configuration, read within limits.

Anybody may have made the file, and the main process reads it before a worker loads the model. So
nothing here unpacks more than the file's size justifies, and weights are read in chunks.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnist_cnn.errors import UsageError, UserError

MIB = 2**20
MAX_EXPANSION = 100  # times the file's size; Keras, too, refuses to load what expands further
SMALL_BYTES = 64 * MIB  # may be unpacked whatever the file's size
MAX_CONFIG_BYTES = 16 * MIB
CHUNK_BYTES = MIB
METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"

SHARED_OBJECT = re.compile(rb'"shared_object_id": (\d+)')

# Python unpacks a whole block of the other methods at once, which may be gigabytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def model_digest(path: Path) -> str:
    """Return the SHA-256 of the content of a .keras file, in hexadecimal.

    The date is left out, and so are the memory addresses by which Keras names shared objects. So a
    model that is trained again has the same digest.

    Raises:
        UsageError: There is no such file.
        UserError: The file is damaged, or a decompression bomb.
    """
    digest = hashlib.sha256()
    with _open(path) as archive:
        archive.getinfo(WEIGHTS)  # an archive without weights is no model
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            content = hashlib.sha256()  # separate, so that it cannot be confused with a name
            for chunk in _content(archive, member.filename):
                content.update(chunk)
            digest.update(f"{member.filename}\0".encode() + content.digest())
    return digest.hexdigest()


def is_model(path: Path, digest: str) -> bool:
    """Return whether a .keras file holds the model of that digest.

    Before version 0.3.0 of this package a digest was over the weights only.

    Raises:
        UsageError: There is no such file.
        UserError: The file is damaged, or a decompression bomb.
    """
    if model_digest(path) == digest:
        return True
    weights = hashlib.sha256()
    with _open(path) as archive:
        for chunk in _content(archive, WEIGHTS):
            weights.update(chunk)
    return weights.hexdigest() == digest


def read_config(path: Path) -> Any:
    """Return the configuration in a .keras file, from which Keras builds the model.

    Raises:
        UsageError: There is no such file.
        UserError: The file is damaged, or a decompression bomb, or the configuration is too large.
    """
    with _open(path) as archive:
        size = archive.getinfo(CONFIG).file_size
        if size > MAX_CONFIG_BYTES:
            raise UserError(
                f"the model {path} has a configuration of {_mib(size)}, at most "
                f"{_mib(MAX_CONFIG_BYTES)} are read"
            )
        return json.loads(archive.read(CONFIG))


def check_weights(path: Path) -> None:
    """Check that the arrays in a .keras file are no larger than the file's size justifies.

    HDF5 has a compression of its own: an array may claim gigabytes, which Keras would allocate.

    Raises:
        UsageError: There is no such file.
        UserError: The file is damaged, or a decompression bomb.
    """
    import h5py  # type: ignore[import-untyped]  # comes with Keras, and is slow to import

    sizes = []

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.nbytes)

    with _open(path) as archive:
        with h5py.File(io.BytesIO(archive.read(WEIGHTS)), "r") as weights:
            weights.visititems(add)
        _refuse_expansion(path, sum(sizes))


def _content(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yield the content of a member, without the parts that differ each time a model is saved."""
    with archive.open(name) as file:
        if name == METADATA:
            facts = json.loads(file.read(MAX_CONFIG_BYTES))
            facts.pop("date_saved", None)
            yield json.dumps(facts, sort_keys=True).encode()
            return
        if name == CONFIG:
            yield _renumbered(file.read(MAX_CONFIG_BYTES))
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _renumbered(config: bytes) -> bytes:
    """Return a configuration in which shared objects are numbered in order of appearance."""
    numbers: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        return b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers))

    return SHARED_OBJECT.sub(number, config)


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive; errors inside the block become a UserError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(path, archive)
            yield archive
    except UserError:
        raise
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except Exception as error:  # zipfile, zlib and json each raise their own
        raise UserError(f"the model {path} is damaged: {error}") from None


def _refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    # Python never unpacks more of a member than the size that is declared here.
    _refuse_expansion(path, sum(member.file_size for member in archive.infolist()))
    if any(member.compress_type not in METHODS for member in archive.infolist()):
        raise UserError(
            f"the model {path} has an unusual compression; save it with Keras's `model.save`"
        )


def _refuse_expansion(path: Path, unpacked: int) -> None:
    if unpacked > max(SMALL_BYTES, MAX_EXPANSION * path.stat().st_size):
        raise UserError(
            f"the model {path} would unpack to {_mib(unpacked)}, more than {MAX_EXPANSION} times "
            "its size; it is not read"
        )


def _mib(size: int) -> str:
    return f"{-(-size // MIB):,} MiB"
