"""One run: what is trained, and its events in the journal.

A trial, a confirmation and a replay are each a run. A run happens in a worker process.
"""

import json
import os
from collections.abc import Callable, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from mnist_cnn.experiment import Experiment
from mnist_cnn.files import replace_file
from mnist_cnn.mlruns import SOURCES_FILE
from mnist_cnn.project import sources
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.backend import precision
from mnist_cnn.training.build import has_own_fit
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.data import Data
from mnist_cnn.training.recipe import recipe
from mnist_cnn.workers import machine


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, which becomes one run in MLflow.

    Attributes:
        experiment: The experiment.
        data: Its images.
        journal: The journal of the run. Its folder takes the run's files.
        title: The start of the run's name in MLflow.
        tags: The tags of the run in MLflow.
        epochs: The number of epochs.
        seed: The seed of weights, dropout and the order of the images.
        keep: Which epoch's weights are saved and scored.
        sampled: Returns the parameters that Optuna has recorded for the trial so far.
        on_built: Called when the model is built, before the start of the run is written. It may
            raise.
        on_size: Called with the size of the model before it is trained. It may raise.
        precision: The Keras dtype policy. None means the experiment's, or the fastest here.
    """

    experiment: Experiment
    data: Data
    journal: Journal
    title: str
    tags: dict[str, str]
    epochs: int
    seed: int
    keep: Literal["best", "last"] = "best"
    sampled: Callable[[], dict[str, Any]] = dict
    on_built: Callable[[], None] = lambda: None
    on_size: Callable[[EpochMetrics], None] = lambda size: None
    precision: str | None = None

    def start(self, values: dict[str, Any], words: str, size: dict[str, int]) -> None:
        """Write the start of the run, or of its resumption, to the journal.

        Args:
            values: The hyperparameters as the space saw them.
            words: The architecture in a few words, for the name of the run.
            size: The size of the model, such as `parameters`.
        """
        own = self._own_params(size)
        self.journal.write(
            "start",
            name=f"{self.title} · {words}",
            tags={**self.tags, tags.RECIPE: json.dumps(self.recipe(values))},
            values=values,
            sampled=self.sampled(),
            worker=os.environ.get(machine.WORKER, ""),
            params=own | _distinct(values, own),
        )
        for context, images in (("train", self.data.train), ("validation", self.data.validation)):
            self.journal.write(
                "dataset",
                name=self.data.dataset.name,
                digest=self.data.dataset.digest,
                images=len(images),
                context=context,
            )

    def add_values(self, names: Set[str], values: dict[str, Any], size: dict[str, int]) -> None:
        """Write hyperparameters that a HyperModel's own `fit` has declared.

        Args:
            names: Their names.
            values: All hyperparameters.
            size: The size of the model, as for `start`.
        """
        added = {name: values[name] for name in names}
        params = _distinct(added, self._own_params(size))
        self.journal.write("params", params=params, values=added)
        self.journal.write("tags", tags={tags.RECIPE: json.dumps(self.recipe(values))})

    def write_file(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file of the run. It is on the disk before the journal names it."""
        replace_file(self.journal.folder / name, write)
        self.journal.write("artifact", path=name)

    def write_sources(self) -> None:
        """Write the project's code that the run depends on."""
        found = sources.sources_of(self.experiment.space, self.experiment.dataset)
        text = json.dumps({name: asdict(source) for name, source in found.items()}, indent=1)
        self.write_file(SOURCES_FILE, lambda path: path.write_text(text, "utf-8"))

    @property
    def policy(self) -> str:
        """The Keras dtype policy."""
        return self.precision or precision(self.experiment)

    def recipe(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return everything that the outcome of this run with `values` depends on."""
        return recipe(
            self.experiment,
            self.data.dataset,
            values=values,
            seed=self.seed,
            epochs=self.epochs,
            keep=self.keep,
            precision=self.policy,
        )

    def _own_params(self, size: dict[str, int]) -> dict[str, Any]:
        """Return the run's parameters in MLflow besides its hyperparameters."""
        batches = {
            "batch_size": self.experiment.batch_size,
            "epoch_images": self.experiment.epoch_images or len(self.data.train),
        }
        return {
            "epochs": self.epochs,
            "seed": self.seed,
            "precision": keras.config.dtype_policy().name,  # the space may have changed it
            "backend": keras.config.backend(),
            **({} if has_own_fit(self.experiment.space) else batches),
            **size,
        }


def _distinct(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the values under names that differ from the run's own, such as `hp.seed`."""
    return {f"hp.{n}" if n in own or n.startswith("hp.") else n: v for n, v in values.items()}
