"""Small experiments whose trials run in this process, as a worker runs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from projects import forget_experiments

from mnist_cnn.datasets import Dataset, mnist
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MODEL_FILE, trial_folder
from mnist_cnn.project.fingerprint import fingerprint
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.project.plan import Plan, baselines
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.training.data import load_data
from mnist_cnn.training.preflight import check
from mnist_cnn.training.trial import _load_study, run_trial
from mnist_cnn.urls import sqlite_url

EXPERIMENT = """
from functools import partial

import optuna

from mnist_cnn.experiment import AtLeast, AtMost, Confirm, Experiment, Maximize, Minimize, Screen
from small import few
from {module} import *

fields = dict(dataset=few, epochs=2, batch_size=50, baseline=(), confirm=Confirm(trials=0))
experiment = Experiment(**fields | dict({fields}))
"""


@cache  # for all tests of a process: to read MNIST takes half a second
def few() -> Dataset:
    """MNIST's first 300 training images."""
    found = mnist().first(300)
    images = found.train()
    return replace(found, train=lambda: images)


@dataclass(frozen=True)
class Ended:
    """How a trial ended: as its journal says, and whether the sampler has nothing left."""

    state: str
    values: list[float] | None
    reason: str
    scores: dict[str, float]
    folder: Path
    exhausted: bool

    @property
    def steps(self) -> list[int]:
        """The epochs in the journal, in the order in which they were written."""
        return [event["step"] for event in self.events("metrics")]

    def events(self, kind: str) -> list[dict]:
        return [event for event in read(self.folder)[0] if event["event"] == kind]


class Small:
    """The experiment `small` of a project, on 300 images, and a study of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = sqlite_url(root / "optuna.db")
        self.study: optuna.Study | None = None

    def write(self, fields: str, module: str = "strange_spaces") -> None:
        """Write the experiment; its space is of a module in tests/support."""
        text = EXPERIMENT.format(fields=fields, module=module)
        (self.root / "experiments/small.py").write_text(text)
        self.forget()

    def forget(self) -> None:
        """Have the next call read the experiment again, as a new process does."""
        forget_experiments()
        load_data.cache_clear()
        _load_study.cache_clear()

    def check(self) -> Plan:
        """Check the experiment, as a search does before its first trial."""
        return check(ExperimentId("small"))

    def open(self) -> optuna.Study:
        """Make the study, with its baselines in the queue."""
        experiment = load_experiment(ExperimentId("small"))
        self.study = optuna.create_study(
            storage=open_storage(self.url),
            study_name="small-1",
            directions=[objective.direction for objective in experiment.objectives],
        )
        self.study.set_user_attr("fingerprint", fingerprint(experiment))
        for baseline in baselines(experiment):
            self.study.enqueue_trial(dict(baseline))
        return self.study

    def run(self, **values: object) -> Ended:
        """Run a trial, with these values if any are given, and tell Optuna of its end."""
        study = self.study or self.open()
        if values:
            study.enqueue_trial(values)
        return self.go_on(study.ask().number)

    def go_on(self, number: int) -> Ended:
        """Run a trial that a worker may have begun, and tell Optuna of its end."""
        ended = self.train(number, self.root)
        assert self.study is not None
        self.study.tell(number, ended.values, state=TrialState[ended.state])
        return ended

    def train(self, number: int, root: Path) -> Ended:
        """Run a trial of which Optuna has not been told an end; `root` takes its files."""
        folder = trial_folder(root, number)
        exhausted = run_trial(ExperimentId("small"), "small-1", self.url, number, folder)
        end = Journal(folder).end
        assert end is not None
        state = end["tags"][tags.STATE]
        scores = {
            name.removeprefix("best_"): value
            for name, value in end["metrics"].items()
            if name.startswith("best_") and name != "best_epoch"
        }
        return Ended(state, end["values"], end["reason"], scores, folder, exhausted)


def score_of(trial: Ended) -> float:
    """Return the accuracy of the saved model on the validation images, in plain Keras."""
    model = keras.models.load_model(trial.folder / MODEL_FILE)
    images = load_data(ExperimentId("small")).validation.scaled()
    answers = np.asarray(model(images.x)).argmax(axis=1)
    return float(np.mean(answers == images.y))


@contextmanager
def killed_after(epoch: int) -> Iterator[None]:
    """Have a trial inside of the block end as by a kill, once an epoch is in the journal."""
    metrics = Journal.metrics

    def write(journal: Journal, step: int, *arguments: object) -> None:
        metrics(journal, step, *arguments)
        if step == epoch:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "metrics", write)
        yield
