"""The functions that the worker processes of test_local_pool.py call. They import this file."""

import fcntl
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from mnist_cnn.errors import UsageError, UserError

SEEN_AT_IMPORT = os.environ.get("SEEN_AT_IMPORT")


def add(a, b):
    return a + b


def mark():
    """Prepare for longer than the time limit of a call."""
    time.sleep(0.5)
    os.environ["PREPARED"] = "yes"


def fail_to_prepare():
    raise ImportError("a broken installation")


def prepared():
    return os.environ.get("PREPARED")


def oom_score():
    """How much sooner than others Linux kills this process when memory runs out."""
    return int(Path("/proc/self/oom_score_adj").read_text())


def process_id():
    return os.getpid()


KEPT = []


def keep(megabytes):
    """Keep memory, as a library does that leaks. Return the process id."""
    KEPT.append(b"x" * (megabytes * 2**20))
    return os.getpid()


def sleep_and_say(path, seconds):
    """Work for this long in wall-clock time, whether suspended meanwhile or not."""
    path.touch()
    time.sleep(seconds)


def environment_at_import():
    return SEEN_AT_IMPORT


def search_path():
    return sys.path


def say(text):
    print(text)
    print(f"{text} on stderr", file=sys.stderr)
    os.system(f"echo {text} of a child")  # as a library in C would print


def refuse():
    raise UserError("no trial could succeed")


def refuse_usage():
    raise UsageError("no such experiment")


def divide_by_zero():
    return 1 // 0


def fill_the_disk():
    Path("/dev/full").write_text("more than it takes")


def leave_a_file():
    """Leave a temporary file, as a library does that removes it only at exit. Return its folder."""
    handle, path = tempfile.mkstemp()
    os.close(handle)
    return Path(path).parent


def leave(code):
    os._exit(code)


def leave_politely(code):
    sys.exit(code)


def die_of(signal_name):
    os.kill(os.getpid(), signal.Signals[signal_name])
    time.sleep(600)


def return_what_cannot_be_sent():
    return lambda: None


def hold(path, busy=False):
    """Hold `path` locked for as long as this process lives, asleep or computing."""
    with Path(path).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("held")
        file.flush()
        while True:
            sum(range(1000)) if busy else time.sleep(600)
