"""Real signals, to a real process, that end a command."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from mnist_cnn.workers.signals import ECHO_SECONDS, STOPPING, uninterrupted

COMMAND = """
import time
from mnist_cnn.workers.signals import stoppable

try:
    with stoppable():
        try:
            print("begun", flush=True)
            input()
        finally:
            print("saving", flush=True)
            time.sleep({saving})
            print("saved", flush=True)
except KeyboardInterrupt:
    print("stopped")
"""


def start(saving, ignored=None, command=COMMAND):
    def prepare():
        for number in STOPPING:  # a shell's background job ignores some of them
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-c", command.format(saving=saving)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_lets_the_command_save(number):
    process = start(saving=0)
    process.send_signal(number)
    assert process.communicate()[0] == "saving\nsaved\nstopped\n"
    assert process.returncode == 0


def test_the_same_signal_again_at_once_counts_as_one():
    process = start(saving=2 * ECHO_SECONDS)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "saved\nstopped\n"


def test_the_second_signal_ends_the_command_at_once():
    process = start(saving=600)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "saving\n"
    while process.poll() is None:  # whoever waits for its end presses again
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2 * ECHO_SECONDS)
    assert process.communicate()[0] == ""
    assert process.returncode == 130


HOLDING = """
import time
from mnist_cnn.workers.signals import uninterrupted

try:
    with uninterrupted():
        print("begun", flush=True)
        input()
        print("imported", flush=True)
    print("never")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize(("times", "printed"), [(1, "imported\nstopped\n"), (2, "stopped\n")])
def test_the_first_interruption_waits_for_the_block_and_the_second_does_not(times, printed):
    process = start(saving=0, command=HOLDING)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # two at once would be one
    assert process.communicate("go on\n")[0] == printed


def test_in_a_thread_nothing_is_held_back():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def look():
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_what_nohup_ignores_stays_ignored():
    process = start(saving=0, ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    assert process.communicate("go on\n")[0] == "saving\nsaved\n"
    assert process.returncode == 0
