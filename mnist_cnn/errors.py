"""The two errors that a user's mistake may end in; the command line prints their one line."""

import errno


class UserError(Exception):
    """The work failed or was refused. The message says what is wrong and what to type (exit 1)."""


class UsageError(UserError):
    """The command itself was wrong: an unknown name, a number out of range (exit 2)."""


def full_disk(error: BaseException) -> UserError | None:
    """The message for an error that means that nothing more can be written, else None."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"the disk is full ({error.strerror}); what is finished is safe, make room and type "
            "the same command again"
        )
    return None
