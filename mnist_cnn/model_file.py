"""What a `.keras` file holds, told by a digest: all of its content but the date it was saved on."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mnist_cnn.errors import UserError

CHUNK_BYTES = 2**20
LARGEST_BYTES = 2**32  # of all content, unpacked; a larger file is refused before it is read
METADATA = "metadata.json"


def model_digest(path: Path) -> str:
    """Return the SHA-256 over the names and contents of a `.keras` file, in hexadecimal.

    Raises:
        UserError: It is not a `.keras` file, is damaged, or unpacks to more than 4 GiB.
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
            if sum(member.file_size for member in members) > LARGEST_BYTES:
                raise UserError(f"{path} unpacks to more than {LARGEST_BYTES // 2**30} GiB")
            for member in members:
                digest.update(f"{member.filename}\0".encode())
                # A digest of its own, so that no content can look like another's name.
                content = hashlib.sha256()
                for chunk in _content(archive, member):
                    content.update(chunk)
                digest.update(content.digest())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path} is not a whole .keras file: {error}") from None
    return digest.hexdigest()


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield what a member holds. `zipfile` reads no more of it than its header promises."""
    with archive.open(member) as file:
        if member.filename == METADATA:
            facts = json.loads(file.read(CHUNK_BYTES))
            facts.pop("date_saved", None)
            yield json.dumps(facts, sort_keys=True).encode()
            return
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
