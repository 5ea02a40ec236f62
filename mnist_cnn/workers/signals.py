"""Ctrl-C, SIGTERM and a closed terminal: the first stops a command cleanly, the second at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A process may get one signal twice: `timeout` signals both the process and its group, and `make`
# forwards what it gets. Signals within this time count as one.
ECHO_SECONDS = 0.2


@contextmanager
def stoppable() -> Iterator[None]:
    """Make the first stopping signal raise KeyboardInterrupt, and the second end the process.

    A signal that is ignored on entering, as under `nohup`, stays ignored.
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
        # After a clean stop, another signal while the interpreter shuts down is ignored.
        for number, handler in before.items():
            signal.signal(number, handler if first is None else signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the first Ctrl-C until the block has ended. The second has its effect at once.

    An import that is interrupted may leave modules behind that are broken until the process ends,
    so the user of a notebook could not continue after interrupting a cell.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held_back: list[FrameType | None] = []

    def hold_back(number: int, frame: FrameType | None) -> None:
        held_back.append(frame)
        if len(held_back) > 1:
            handler(number, frame)

    signal.signal(signal.SIGINT, hold_back)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if len(held_back) == 1:
            handler(signal.SIGINT, held_back[0])
