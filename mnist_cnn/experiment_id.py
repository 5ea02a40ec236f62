"""What identifies an experiment: a file in experiments/, and the data that it is made for."""

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "mnist"
FOR_DATA = "images"  # the experiment that --data PATH runs


@dataclass(frozen=True)
class ExperimentId:
    """What identifies an experiment, in every process.

    Attributes:
        file: The name of its file in experiments/, without `.py`.
        data: The data that it is made for, an absolute path with links followed. None if the file
            itself says what to train on.
    """

    file: str
    data: str | None = None

    @property
    def name(self) -> str:
        """What the experiment is called in MLflow and in the names of its studies."""
        return self.file if self.data is None else f"{self.file}-{data_name(self.data)}"

    @property
    def for_make(self) -> str:
        """What follows `make search`, such as `EXPERIMENT=mnist`."""
        if self.data is None:
            return f"EXPERIMENT={self.file}"
        file = "" if self.file == FOR_DATA else f"EXPERIMENT={self.file} "
        # make replaces what follows a dollar sign, unless there are two.
        return f"{file}DATA={_quoted(self.data.replace('$', '$$'))}"

    @property
    def for_command(self) -> str:
        """What follows `mnist-cnn search`, such as `mnist`."""
        if self.data is None:
            return self.file
        file = "" if self.file == FOR_DATA else f"{self.file} "
        return f"{file}--data {_quoted(self.data)}"


def _quoted(path: str) -> str:
    """Quote a path for the shell, in one line that can be read whatever the path consists of."""
    if path.isprintable():
        return shlex.quote(path)
    escaped = (
        char
        if char.isprintable() and char not in "'\\"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
        for char in path
    )
    return f"$'{''.join(escaped)}'"  # of bash and zsh


def experiment_id(file: str | None, data: str | Path | None = None) -> ExperimentId:
    """Return the experiment that a user names.

    Args:
        file: The name of a file in experiments/. None means `images` with data, else `mnist`.
        data: A path as the user wrote it, or None. Nothing needs to be there.
    """
    if data is None:
        return ExperimentId(file or DEFAULT)
    return ExperimentId(file or FOR_DATA, resolved(data))


def resolved(data: str | Path) -> str:
    """The absolute path of data, with links and `~` followed as far as there is anything."""
    given = Path(data)
    try:
        return str(given.expanduser().resolve())
    except (OSError, RuntimeError, ValueError):  # no such user, a circular link, a zero byte
        return str(given.absolute())


def data_name(data: str) -> str:
    """A short name for data, readable, unique and usable as a file name.

    It is the name of the folder or file, and six letters that depend on the whole path: for
    /home/ada/my digits it is `my_digits-` and these letters.

    Args:
        data: An absolute path with links followed.
    """
    stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(data).stem).strip("_")[:32]
    digest = hashlib.sha256(data.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    # Letters alone, so that nobody takes them for the number of a study.
    letters = digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    return f"{stem or 'data'}-{letters}"
