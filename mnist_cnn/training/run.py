"""One run: a configuration is built, trained, scored and saved, and its journal says how it went.

A trial and a confirmation are both a run. It happens in a worker process.
"""

import functools
import gc
import hashlib
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from mnist_cnn import space as space_source
from mnist_cnn.charts import style
from mnist_cnn.charts.curves import curves
from mnist_cnn.datasets import Dataset, Images, split
from mnist_cnn.experiment import (
    Experiment,
    comparable,
    fingerprint,
    load_experiment,
)
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, SPACE_FILE
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training import architecture
from mnist_cnn.training.fit import (
    Checkpoint,
    EpochMetrics,
    TrainingFailed,
    build_metrics,
    evaluation_batches,
    has_own_fit,
    jit_compile,
    precision,
    train,
)
from mnist_cnn.workers import machine

# Tags of a run: all that it can be repeated from, and what must come out then.
RECIPE_TAG = "recipe"
WEIGHTS_TAG = "weights.sha256"
VERSIONS = ("keras", "keras-tuner", "mnist-cnn", "numpy", "tensorflow")

# What a run's summary has beside the saved model's metrics; an objective may be one of them.
COST_METRICS = ("parameters", "multiply_accumulates", "train_seconds")


@dataclass(frozen=True)
class Data:
    """An experiment's data set with its training images divided; the test images are not here."""

    dataset: Dataset
    train: Images
    validation: Images


@functools.cache  # one reading for all runs of a worker
def load_data(experiment_name: str) -> Data:
    """The images that a search of the experiment trains and validates on."""
    experiment = load_experiment(experiment_name)
    dataset = experiment.dataset()
    return Data(dataset, *split(dataset.train(), experiment.validation_fraction, experiment.seed))


def derived_seed(*parts: int) -> int:
    """A seed in [0, 2**31) for the purpose that `parts` name, as (experiment's seed, trial)."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0]) >> 1


def build(experiment: Experiment, dataset: Dataset, hp: keras_tuner.HyperParameters) -> keras.Model:
    """The compiled model that the experiment's space makes of `hp`.

    Raises TrainingFailed if the space returns anything else, or a model for other images.
    """
    space = experiment.space
    if isinstance(space, keras_tuner.HyperModel):
        model = space.build(hp)
    else:
        offered = {"input_shape": dataset.shape, "classes": dataset.classes}
        chosen = space.keywords if isinstance(space, functools.partial) else {}
        wanted = inspect.signature(space).parameters.keys() - chosen.keys()
        model = space(hp, **{name: offered[name] for name in offered.keys() & wanted})
    if not isinstance(model, keras.Model):
        raise TrainingFailed(
            f"the search space returned {type(model).__name__}, not a compiled keras.Model"
        )
    if not model.compiled:
        raise TrainingFailed("the search space returned a model that is not compiled")
    if not model.built:  # as a Sequential that does not begin with an Input
        model.build((None, *dataset.shape))
    if (shape := model.input_shape[1:]) != dataset.shape:
        raise TrainingFailed(
            f"the model takes images of shape {shape}, the data set's are {dataset.shape}"
        )
    return model


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, which becomes one run in MLflow.

    title, tags: of the MLflow run.
    epochs: to train for; seed: of weights, dropout and the order of the images.
    """

    experiment: Experiment
    data: Data
    journal: Journal
    title: str
    tags: dict[str, str]
    epochs: int
    seed: int

    def train(
        self, hp: keras_tuner.HyperParameters, on_epoch: Callable[[int, EpochMetrics], bool]
    ) -> EpochMetrics:
        """Build what `hp` declares, train it, and save it unless `on_epoch` ended it.

        The training goes on from the checkpoint in the journal's folder. The summary returned has
        `best_epoch`, `train_seconds` (of all epochs, those before an interruption and of a look
        included), `parameters`, `multiply_accumulates` and, of a saved model, its metrics on the
        validation images as `best_val_<name>`.

        Raises TrainingFailed or UserError, and whatever the space raises.
        """
        experiment, folder = self.experiment, self.journal.folder
        keras.backend.clear_session()
        # That has collected garbage. What is left stays, such as what TensorFlow keeps of every
        # training: to look through that again would take 0.27 s in a worker's fiftieth.
        gc.freeze()
        keras.utils.set_random_seed(self.seed)
        if experiment.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.config.set_dtype_policy(precision(experiment))
        model = build(experiment, self.data.dataset, hp)
        size = {
            "parameters": model.count_params(),
            "multiply_accumulates": architecture.multiply_accumulates(model),
        }
        values = dict(hp.values)
        self.start(values, architecture.in_words(model), size)
        (folder / SPACE_FILE).write_text(space_source.text(experiment.space), encoding="utf-8")
        self.journal.write("artifact", path=SPACE_FILE)
        _refuse_what_does_not_fit(model, experiment.batch_size)

        ended = False

        def on_each_epoch(epoch: int, metrics: EpochMetrics) -> bool:
            nonlocal ended
            self.journal.metrics(epoch, metrics)
            ended = on_epoch(epoch, metrics)
            return ended

        checkpoint = Checkpoint(
            folder / CHECKPOINT_FILE, experiment.objectives[0], experiment.patience, on_each_epoch
        )
        train(
            model,
            hp,
            self.data.train,
            self.data.validation,
            experiment=experiment,
            epochs=self.epochs,
            seed=self.seed,
            checkpoint=checkpoint,
        )
        if not checkpoint.best_weights:
            raise TrainingFailed(f"{experiment.objectives[0].metric} was never a number")
        if later := {name: hp.values[name] for name in hp.values.keys() - values.keys()}:
            # A HyperModel's own `fit` has declared them.
            self.journal.write("params", params=later)
            self.journal.write("tags", tags={RECIPE_TAG: json.dumps(self.recipe(hp.values))})
        summary = self._summarise(checkpoint, size)
        if not ended:
            summary |= self._save(checkpoint.best_weights, hp, folder / MODEL_FILE)
        return summary

    def _summarise(self, checkpoint: Checkpoint, size: dict[str, int]) -> EpochMetrics:
        """Note the curves and the digest of the best weights; returns what the training came to."""
        folder = self.journal.folder
        style.save(curves(checkpoint.history, self.title), folder / "curves.png")
        self.journal.write("artifact", path="curves.png")
        self.journal.write("tags", tags={WEIGHTS_TAG: weights_digest(checkpoint.best_weights)})
        return {
            "best_epoch": float(checkpoint.best_epoch),
            "train_seconds": sum(metrics["epoch_seconds"] for metrics in checkpoint.history),
            **{name: float(value) for name, value in size.items()},
        }

    def start(self, values: dict[str, Any], words: str, size: dict[str, int]) -> None:
        """Open the run in the journal, or open it again after an interruption.

        values: the hyperparameters as the space saw them; words, size: what they built.
        """
        self.journal.write(
            "start",
            name=f"{self.title} · {words}",
            tags={**self.tags, RECIPE_TAG: json.dumps(self.recipe(values))},
            values=values,
            worker=os.environ.get(machine.WORKER, ""),
            params={
                "epochs": self.epochs,
                "seed": self.seed,
                "precision": precision(self.experiment),
                "backend": keras.config.backend(),
                **({} if has_own_fit(self.experiment.space) else self._batches()),
                **size,
                **values,
            },
        )
        for context, images in (("train", self.data.train), ("validation", self.data.validation)):
            self.journal.write(
                "dataset",
                name=self.data.dataset.name,
                digest=self.data.dataset.digest,
                images=len(images),
                context=context,
            )

    def _batches(self) -> dict[str, int]:
        return {
            "batch_size": self.experiment.batch_size,
            "epoch_images": self.experiment.epoch_images or len(self.data.train),
        }

    def recipe(self, values: dict[str, Any]) -> dict[str, Any]:
        """All that the outcome of this training depends on, so that it can be repeated."""
        experiment = self.experiment
        return {
            "values": values,
            "seed": self.seed,
            "epochs": self.epochs,
            "fingerprint": fingerprint(experiment),
            "data": self.data.dataset.digest,
            "space": hashlib.sha256(space_source.text(experiment.space).encode()).hexdigest(),
            "space_module": space_source.module(experiment.space),
            "experiment": comparable(experiment),
            "precision": precision(experiment),
            "backend": keras.config.backend(),
            "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all"),
            "machine": machine.processor(),
            "versions": {
                **{name: version(name) for name in sorted({*VERSIONS, keras.config.backend()})},
                "python": python_version(),
            },
        }

    def _save(
        self, weights: list[Any], hp: keras_tuner.HyperParameters, path: Path
    ) -> EpochMetrics:
        """Save the model so that plain Keras loads it and computes in float32 on any machine.

        The file is compiled for evaluation only, with plain cross-entropy and accuracy, whatever
        the loss of the training was. Returns the saved model's metrics on the validation images.
        """
        keras.config.set_dtype_policy("float32")
        # A plain copy of `hp` has the same values and asks no trial.
        model = build(self.experiment, self.data.dataset, hp.copy())
        model.set_weights(weights)
        model.jit_compile = jit_compile(self.experiment)
        build_metrics(model, self.data.validation)
        images = evaluation_batches(self.data.validation)
        scores = model.evaluate(images, verbose=0, return_dict=True)
        one_hot = self.data.validation.y.ndim == 2
        model.compile(
            loss="categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            optimizer="sgd",  # has no state to save, and loading warns of none
            jit_compile=False,
        )
        partly = path.with_suffix(".part.keras")
        model.save(partly)
        partly.replace(path)
        return {f"best_val_{name}": float(value) for name, value in scores.items()}


def weights_digest(weights: list[Any]) -> str:
    """SHA-256 over the bytes of all weights in order, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _refuse_what_does_not_fit(model: keras.Model, batch_size: int) -> None:
    needed, free = architecture.training_bytes(model, batch_size), machine.available_memory()
    if needed > free:
        raise TrainingFailed(
            f"its training needs {needed / 2**30:.1f} GiB of memory or more, "
            f"{free / 2**30:.1f} GiB are free"
        )
