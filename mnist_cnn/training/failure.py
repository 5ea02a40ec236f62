"""How a training fails, and the failure in one line."""

import re


class TrainingFailed(Exception):
    """The training cannot go on. The message is the trial's reason."""


def one_line(error: BaseException) -> str:
    """Return the error's kind and message in one line of at most 300 characters.

    Keras writes the call that failed first, the reason second, and then pages of arguments.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("Arguments received by")[0]
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:300].rstrip(": ")
