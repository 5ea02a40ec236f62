"""The errors for users. The command line prints their message, which is one line."""

import errno
import re
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """The command failed or was refused: exit code 1. The message says what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show: one line, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(UserError):
    """The command itself is wrong: an unknown name, a number out of range. Exit code 2."""


class Unreachable(UserError):
    """A required server does not answer. A retry succeeds once it does."""


def unknown(name: str, valid: Iterable[str]) -> str:
    """Return an unknown name for a message, with the valid name that was probably meant, if any.

    For the study `mnist-9` that is not `mnist-1`: who types a number seldom means another one.
    """
    found = get_close_matches(name, list(valid), n=1)
    if found and re.sub(r"\d", "", found[0]) != re.sub(r"\d", "", name):
        return f"{name!r} (did you mean {found[0]!r}?)"
    return repr(name)


def full_disk(error: BaseException) -> UserError | None:
    """Return the user's message for an error of a full disk; None for any other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"the disk is full ({error.strerror}); everything finished is saved: free some space "
            "and type the same command again"
        )
    return None
