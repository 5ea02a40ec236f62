"""The identity of an experiment: a file in experiments/, and the path of its data, if any."""

import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.urls import hide_passwords

DEFAULT = "mnist"
FOR_DATA = "images"  # the experiment that --data PATH runs


@dataclass(frozen=True)
class ExperimentId:
    """The identity of an experiment, the same in every process.

    Attributes:
        file: The name of its file in experiments/, without `.py`.
        data: The path of its data, absolute and with links followed. None if the file itself names
            its data set.
    """

    file: str
    data: str | None = None

    @property
    def name(self) -> str:
        """The experiment's name in MLflow and in the names of its studies."""
        return self.file if self.data is None else f"{self.file}-{data_name(self.data)}"

    @property
    def for_make(self) -> str:
        """The arguments of `make search`, such as `EXPERIMENT=mnist`."""
        if self.data is None:
            return f"EXPERIMENT={self.file}"
        file = "" if self.file == FOR_DATA else f"EXPERIMENT={self.file} "
        # make expands variables after a single dollar sign.
        return f"{file}DATA={_quoted(self.data.replace('$', '$$'))}"

    @property
    def for_command(self) -> str:
        """The arguments of `mnist-cnn search`, such as `mnist`."""
        if self.data is None:
            return self.file
        file = "" if self.file == FOR_DATA else f"{self.file} "
        return f"{file}--data {_quoted(self.data)}"


def command(verb: str, experiment: ExperimentId, given: Mapping[str, object]) -> str:
    """Return a command with an experiment, such as `mnist-cnn trials mnist --study mnist-1`.

    Args:
        verb: The subcommand.
        experiment: Its experiment.
        given: The values of its options by their names. None leaves one out.
    """
    options = [f"--{name} {_shown(value)}" for name, value in given.items() if value is not None]
    return " ".join((f"mnist-cnn {verb} {experiment.for_command}", *options))


def search_command(experiment: ExperimentId, given: Mapping[str, object]) -> str:
    """Return the command that searches an experiment. It is `make`'s if that has all the options.

    Args:
        experiment: The experiment.
        given: As for `command`.
    """
    if given.get("storage") or given.get("ray-address"):
        return command("search", experiment, given)
    variables = [f"{name.upper()}={_shown(v)}" for name, v in given.items() if v is not None]
    return " ".join((f"make search {experiment.for_make}", *variables))


def _shown(value: object) -> str:
    """Return the value of an option as it is typed. A password in it is left to the user."""
    return f"{value:g}" if isinstance(value, float) else shlex.quote(hide_passwords(str(value)))


def _quoted(path: str) -> str:
    """Quote a path for the shell, in one printable line whatever characters it has."""
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
        data: A path as the user wrote it, or None. It need not exist.
    """
    if data is None:
        return ExperimentId(file or DEFAULT)
    return ExperimentId(file or FOR_DATA, resolved(data))


def resolved(data: str | Path) -> str:
    """The absolute path of data, with `~` expanded and links followed as far as they exist."""
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
