"""Studies to open, and the journals that workers would have written."""

from mnist_cnn.experiment import Confirm, Maximize
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.project.plan import Plan
from mnist_cnn.study.outcome import write_end
from mnist_cnn.tracking.journal import Journal, read

PLAN = Plan(
    id=ExperimentId("tiny"),
    objectives=(Maximize("val_accuracy"),),
    trials=3,
    timeout_seconds=None,
    trial_timeout_seconds=None,
    epochs=2,
    screen=None,
    confirm=Confirm(trials=0),
    baselines=({"width": 1.0}, {"width": 2.0}),
    description={},
    fingerprint="first",
)


def started(folder, **fields):
    """A journal of a run that a worker began and built."""
    journal = Journal(folder)
    journal.write("begin", name="a run", tags={}, worker="1")
    journal.write("start", name="a run", tags={}, params={}, **fields)
    return journal


def ended(folder, state, values=None, reason="", **more):
    """The same of a run that ended."""
    write_end(started(folder), state, values=values, reason=reason, **more)


def events(folder):
    return [event["event"] for event in read(folder)[0]]


def files(folder):
    return {path.name for path in folder.iterdir()}
