"""Everything that the outcome of a run depends on, so that it can be repeated bit for bit."""

import hashlib
import os
from importlib.metadata import version
from platform import python_version
from typing import Any

import keras
import numpy as np

from mnist_cnn.datasets import Dataset
from mnist_cnn.experiment import Experiment
from mnist_cnn.project import sources
from mnist_cnn.project.fingerprint import comparable, fingerprint
from mnist_cnn.workers import machine

VERSIONS = ("keras", "keras-tuner", "mnist-cnn", "numpy", "tensorflow")


def recipe(
    experiment: Experiment,
    dataset: Dataset,
    *,
    values: dict[str, Any],
    seed: int,
    epochs: int,
    keep: str,
    precision: str,
) -> dict[str, Any]:
    """Return everything that a run on this machine depends on, as JSON values.

    Args:
        experiment: The experiment.
        dataset: Its data set.
        values: The hyperparameters as the space sees them.
        seed: The seed of weights, dropout and the order of the images.
        epochs: The number of epochs.
        keep: Which epoch's weights are saved, `best` or `last`.
        precision: The Keras dtype policy.
    """
    found = sources.sources_of(experiment.space, experiment.dataset)
    return {
        "values": values,
        "seed": seed,
        "epochs": epochs,
        "keep": keep,
        "fingerprint": fingerprint(experiment),
        "data": dataset.digest,
        "sources": {
            name: hashlib.sha256(source.text.encode()).hexdigest() for name, source in found.items()
        },
        "experiment": comparable(experiment),
        "precision": precision,
        "backend": keras.config.backend(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all"),
        "machine": machine.processor(),
        "versions": {
            **{name: version(name) for name in sorted({*VERSIONS, keras.config.backend()})},
            "python": python_version(),
        },
    }


def derived_seed(*parts: int) -> int:
    """Return a seed in [0, 2**31) that depends on all `parts`.

    NumPy's SeedSequence mixes them so that neighbouring values give independent seeds.

    Args:
        parts: The purpose of the seed, such as the experiment's seed and the number of the trial.
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0]) >> 1
