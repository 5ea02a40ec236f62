"""The new content of a run's folder on a node, and how much of it the search has."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mnist_cnn.mlruns import CHECKPOINT_FILE, DELIVERED_FILE, RUN_LOCK_FILE
from mnist_cnn.tracking import journal
from mnist_cnn.workers.cluster.copies import stamp
from mnist_cnn.workers.pool import Ended

# Each side has its own lock and note; the journal is sent by lines.
_NOT_SENT = {RUN_LOCK_FILE, DELIVERED_FILE, journal.FILE_NAME}


@dataclass(frozen=True)
class News:
    """The new content of a run's folder since the search last asked.

    Attributes:
        lines: Complete lines that were appended to the journal.
        files: The contents of new and changed files, read after the journal.
        serial: A number to confirm the files with.
        ended: How the call ended; None while it runs.
    """

    lines: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    serial: int = 0
    ended: Ended | None = None


class RunFolder:
    """The folder of a run on a node.

    Args:
        path: The folder, with the files that the search has sent.
        checkpoint_seconds: The least time between two copies of a checkpoint, unless the run ends.
    """

    def __init__(self, path: Path, checkpoint_seconds: float) -> None:
        self._path, self._checkpoint_seconds = path, checkpoint_seconds
        self._sent = {file.name: stamp(file) for file in self._files()}
        self._unconfirmed: dict[str, tuple[int, int]] = {}
        self._serial, self._checkpoint_sent = 0, 0.0

    def confirm(self, serial: int) -> None:
        """Note that the search has the files of the news with this number.

        Files whose news is not confirmed are sent again.
        """
        if serial == self._serial:
            self._sent |= self._unconfirmed

    def news(self, offset: int, ended: Ended | None) -> News:
        """Return what the search does not have.

        Args:
            offset: The number of bytes of the journal that it has.
            ended: How the call ended; None if it was still running before this call.
        """
        with suppress(FileNotFoundError), (self._path / journal.FILE_NAME).open("rb") as file:
            file.seek(offset)
            lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            files = self._changed(final=ended is not None or b'"event": "end"' in lines)
            self._serial += bool(files)
            return News(lines, files, self._serial, ended)
        return News(serial=self._serial, ended=ended)

    def _changed(self, final: bool) -> dict[str, bytes]:
        """Return the files that the search does not have as they are now."""
        found: dict[str, bytes] = {}
        self._unconfirmed = {}
        for path in self._files():
            if path.name == CHECKPOINT_FILE:
                recent = time.monotonic() - self._checkpoint_sent < self._checkpoint_seconds
                if recent and self._checkpoint_sent and not final:
                    continue
            with suppress(FileNotFoundError):
                now = stamp(path)
                if self._sent.get(path.name) != now:
                    found[path.name] = path.read_bytes()
                    self._unconfirmed[path.name] = now
        if CHECKPOINT_FILE in found:
            self._checkpoint_sent = time.monotonic()
        return found

    def _files(self) -> list[Path]:
        return [
            path
            for path in self._path.iterdir()
            if path.is_file() and path.name not in _NOT_SENT and ".part" not in path.suffixes
        ]
