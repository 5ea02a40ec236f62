"""The errors for users. The command line prints their message, which is one line."""

import errno


class UserError(Exception):
    """The command failed or was refused: exit code 1. The message says what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show: one line, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(UserError):
    """The command itself is wrong: an unknown name, a number out of range. Exit code 2."""


class Unreachable(UserError):
    """A required server does not answer. A retry succeeds once it does."""


def full_disk(error: BaseException) -> UserError | None:
    """Return the user's message for an error of a full disk; None for any other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"the disk is full ({error.strerror}); everything finished is saved: free some space "
            "and type the same command again"
        )
    return None
