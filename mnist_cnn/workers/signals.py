"""Ctrl-C, SIGTERM and a closed terminal: the first ends a command in order, the second at once."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Whoever stops a whole process group may reach a process twice: `timeout` sends to it and to the
# group, and `make` hands on what it gets. That is still one wish.
ECHO_SECONDS = 0.2


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it the first of these signals raises KeyboardInterrupt, the second ends the process.

    A signal that is ignored, as under `nohup`, stays so.
    """
    first: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - first > ECHO_SECONDS:
            if sys.stdout.isatty():
                os.write(1, b"\x1b[?25h\n")  # the live view has hidden the cursor
            os._exit(128 + number)

    heeded = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        # After an orderly end, one more signal while the interpreter closes down changes nothing.
        for number, handler in before.items():
            signal.signal(number, handler if first is None else signal.SIG_IGN)
