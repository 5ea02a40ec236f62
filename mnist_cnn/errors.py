"""The two errors that a user's mistake may end in; the command line prints their one line."""


class UserError(Exception):
    """The work failed or was refused. The message says what is wrong and what to type (exit 1)."""


class UsageError(UserError):
    """The command itself was wrong: an unknown name, a number out of range (exit 2)."""
