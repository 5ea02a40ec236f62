"""The state of a run in a file, saved after every epoch. A killed run resumes from it."""

import json
import math
import time
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

from mnist_cnn.files import replace_file
from mnist_cnn.objectives import Objective
from mnist_cnn.training.averaging import WeightAverage, as_float32
from mnist_cnn.training.retrained import differences

EpochMetrics = dict[str, float]


class BeganAgain(Exception):
    """A HyperModel's own `fit` does not resume where it was interrupted. The message says why."""


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the state of a run after every epoch, and keeps the weights to save at its end.

    Args:
        path: The file.
        objective: Decides which epoch is the best.
        recipe: Everything that the run depends on. It does not resume from a file with another
            recipe.
        keep: Which epoch's weights to keep. Epochs without the objective, which a HyperModel's own
            `fit` may have, count only while there are no others: then the last one is kept.

    Attributes:
        average: The average of the weights, which is validated and kept.
        history: The metrics of each finished epoch: Keras's own, `learning_rate` and
            `epoch_seconds`.
        values: The hyperparameters. A HyperModel's own `fit` may add some.
        kept_weights: The averaged weights of the epoch to keep. Empty while there is none.

    Raises:
        BeganAgain: After a restoration, if the epoch is not the next one, or another model is
            trained.
    """

    def __init__(
        self,
        path: Path,
        objective: Objective,
        recipe: Mapping[str, Any],
        keep: Literal["best", "last"] = "best",
    ) -> None:
        super().__init__()
        self.path, self.objective, self.keep = path, objective, keep
        self.recipe = json.loads(json.dumps(recipe))  # as it would be read from the file
        self.average = WeightAverage()
        self.started = time.monotonic()
        self._restored_to: keras.Model | None = None
        self._epoch = -1  # the last epoch, from 0, as a HyperModel's own loop counts
        self.history: list[EpochMetrics] = []
        self.values: dict[str, Any] = {}
        self.kept_weights: list[Any] = []

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 1, with the best value of the objective; 0 if there is none."""
        values = [metrics.get(self.objective.metric, math.nan) for metrics in self.history]
        best, best_epoch = self.objective.worst, 0
        for epoch, value in enumerate(values, start=1):
            if self.objective.better(value, best):
                best, best_epoch = value, epoch
        return best_epoch

    @property
    def epochs_with_objective(self) -> list[int]:
        """The epochs, from 1, whose metrics have the objective, even if it is NaN."""
        epochs = enumerate(self.history, start=1)
        return [epoch for epoch, metrics in epochs if self.objective.metric in metrics]

    @property
    def kept_epoch(self) -> int:
        """The epoch, from 1, to keep; 0 if there is none, or the objective was NaN in all."""
        if not (epochs := self.epochs_with_objective):
            return len(self.history)
        return epochs[-1] if self.keep == "last" else self.best_epoch

    @property
    def kept_metrics(self) -> EpochMetrics:
        """The metrics of the epoch to keep; empty if there is none."""
        return dict(self.history[self.kept_epoch - 1]) if self.kept_epoch else {}

    def restore(self, model: keras.Model) -> str:
        """Load the file into `model`, if there is one.

        Returns:
            Why the run cannot resume from the file, which is then removed. "" if it can, or if
            there is no file.
        """
        if not self.path.exists():
            return ""
        try:
            with np.load(self.path) as saved:
                arrays = {name: saved[name] for name in saved.files}
            saved = [arrays[name] for name in arrays if name.startswith("variable_")]
            if not model.built:
                _build_as_before(model, json.loads(str(arrays["built"])))
            problem = _difference(json.loads(str(arrays["recipe"])), self.recipe)
            if _shapes(saved) != _shapes(_variables(model)):
                problem = problem or "its own fit builds the model that it trains"
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            problem = "its checkpoint is damaged"
        if problem:
            self.path.unlink()
            return problem
        self.history = json.loads(str(arrays["history"]))
        self._restored_to, self._epoch = model, int(arrays["epoch"])
        self.values = json.loads(str(arrays["values"]))
        if "best_0" in arrays:  # missing while the objective is NaN
            self.kept_weights = [arrays[f"best_{i}"] for i in range(len(model.weights))]
        for variable, array in zip(_variables(model), saved, strict=True):
            variable.assign(array)
        if "averaged" in arrays:
            average = [arrays[f"average_{i}"] for i in range(len(model.weights))]
            self.average.restore(int(arrays["averaged"]), average)
        if "global_seed" in arrays:
            global_seed_generator().state.assign(arrays["global_seed"])
        return ""

    def set_model(self, model: keras.Model) -> None:
        if self._restored_to not in (None, model):
            raise BeganAgain("its own fit trains more than one model")
        super().set_model(model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: EpochMetrics | None = None) -> None:
        if self._restored_to is not None and epoch != self._epoch + 1:
            raise BeganAgain("its own fit begins at the first epoch")
        self._epoch = epoch
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        optimizer = getattr(self.model, "optimizer", None)  # None if the model is not compiled
        if optimizer is not None:
            metrics["learning_rate"] = float(optimizer.learning_rate)
        now = time.monotonic()
        metrics["epoch_seconds"] = now - self.started
        self.started = now  # a HyperModel's own loop may not call `on_epoch_begin`
        self.history.append(metrics)
        if self.kept_epoch == len(self.history):
            self.kept_weights = self.average.weights
        elif not self.kept_epoch:
            self.kept_weights = []
        self._save()

    def _save(self) -> None:
        arrays: dict[str, Any] = {
            "recipe": json.dumps(self.recipe),
            "history": json.dumps(self.history),
            "values": json.dumps(self.values),
            "epoch": self._epoch,
            "built": _how_built(self.model),
        }
        arrays |= {f"variable_{i}": as_float32(v) for i, v in enumerate(_variables(self.model))}
        arrays |= {f"best_{i}": weight for i, weight in enumerate(self.kept_weights)}
        if self.average.count:
            arrays["averaged"] = self.average.count
            arrays |= {f"average_{i}": w for i, w in enumerate(self.average.weights)}
        # The generator of `keras.random` for calls without a seed, which no model has. Keras makes
        # it when it is first used.
        if (generator := get_global_attribute(GLOBAL_SEED_GENERATOR)) is not None:
            arrays["global_seed"] = np.asarray(generator.state)
        replace_file(self.path, lambda file: np.savez(file, **arrays))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference between two recipes in words; "" if there is none."""
    for name, was, value in differences(before, now):
        return f"{name} was {was}, is {value}"
    return ""


def _how_built(model: keras.Model) -> str:
    """Return what `build_from_config` takes, as JSON."""
    try:
        return json.dumps(model.get_build_config())
    except Exception:  # a model may say anything there
        return "null"


def _build_as_before(model: keras.Model, config: Any) -> None:
    """Create the weights of a model and the state of its optimizer, as its own `fit` did."""
    with suppress(Exception):  # a model may be built in any way
        model.build_from_config(config)
        if model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)


def _shapes(arrays: list[Any]) -> list[tuple[int, ...]]:
    return [tuple(array.shape) for array in arrays]


def _variables(model: keras.Model) -> list[Any]:
    metrics = {id(variable) for variable in model.metrics_variables}  # reset at every epoch
    kept = [variable for variable in model.variables if id(variable) not in metrics]
    optimizer = getattr(model, "optimizer", None)  # a HyperModel's own loop may have its own
    return [*kept, *optimizer.variables] if optimizer is not None else kept
