"""What the workers of test_phases.py do in the place of a trial.

A worker imports this file, so it imports nothing that is slow.
"""

import os
import signal

from mnist_cnn.study.outcome import write_end
from mnist_cnn.tracking.journal import Journal


def die_at_once(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_trial(experiment, study, storage, number, folder):
    Journal(folder).write("begin", name=f"trial {number:03d}", tags={"kind": "trial"}, worker="1")
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    complete(folder)


def never_end(experiment, study, storage, number, folder):
    begin(folder)
    signal.pause()


def end_with_nothing_left(experiment, study, storage, number, folder):
    complete(folder)
    return True  # as of a sampler that has nothing left to try


def begin(folder):
    journal = Journal(folder)
    journal.write("begin", name="a run", tags={}, worker="1")
    journal.write("start", name="a run", tags={}, params={})
    return journal


def complete(folder):
    write_end(begin(folder), "COMPLETE", values=[0.5], summary={"best_val_accuracy": 0.5})
