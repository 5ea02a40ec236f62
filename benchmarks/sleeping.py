"""A trial whose epochs are sleeps, for `cluster.py`, which sends this file to the nodes."""

import os
import time
from pathlib import Path

import optuna

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.optuna_internals import StudyAs, adopt_trial, trial_id
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.storage import storage_of_worker
from mnist_cnn.tracking.journal import Journal

EPOCHS = 4


def sleeping_trial(
    seconds: float,
    experiment: ExperimentId,
    study_name: str,
    url: str,
    number: int,
    folder: Path,
) -> bool:
    """A trial whose epochs are sleeps, in a worker process."""
    storage = storage_of_worker(url)
    study = StudyAs(study_name, storage, list)
    study.sampler = optuna.samplers.TPESampler(seed=number)
    study.pruner = optuna.pruners.MedianPruner()
    study.get_trials(deepcopy=False)
    trial = adopt_trial(study, trial_id(storage, study_name, number))
    journal = Journal(folder)
    tags = {"kind": "trial", "optuna.trial": str(number)}
    journal.write("begin", name=f"trial {number}", tags=tags, worker="1")
    x, y = (trial.suggest_float(name, 0.0, 1.0) for name in "xy")
    journal.write("start", name=f"trial {number}", tags=tags, params=trial.params)
    for epoch in range(1, EPOCHS + 1):
        time.sleep(seconds / EPOCHS)
        (folder / CHECKPOINT_FILE).write_bytes(os.urandom(2**20))
        trial.report(x - y * y, epoch)
        journal.metrics(epoch, {"val_accuracy": x - y * y, "epoch_seconds": seconds / EPOCHS})
    write_end(journal, "COMPLETE", values=[x - y * y], summary={"best_val_accuracy": x - y * y})
    return False
