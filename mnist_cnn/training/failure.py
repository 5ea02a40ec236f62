"""How a run fails, and how to describe a failure in one line."""

import re


class TrainingFailed(Exception):
    """The run cannot continue. The message becomes the reason of the trial."""


def one_line(error: BaseException) -> str:
    """Return the type and message of an error in one line of at most 300 characters.

    Keras writes first the call that failed, then the reason, then pages of arguments, which are cut
    off. TensorFlow writes first where in the code the operation stands, which is left out.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("Arguments received by")[0]
    text = re.sub(r'^(Detected at node|\s+File ").*$', "", text, flags=re.MULTILINE)
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:300].rstrip(": ")
