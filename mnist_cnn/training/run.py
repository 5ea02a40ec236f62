"""One run: a configuration is built, trained, scored and saved, and its journal records it.

A trial, a confirmation and a replay are each a run. A run happens in a worker process.
"""

import gc
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import keras_tuner
import tensorflow as tf

from mnist_cnn.charts import style
from mnist_cnn.charts.curves import curves
from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.files import replace_file
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, SOURCES_FILE
from mnist_cnn.project import sources
from mnist_cnn.study.outcome import LATENCY
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training import architecture
from mnist_cnn.training.backend import precision
from mnist_cnn.training.build import build, has_own_fit
from mnist_cnn.training.callbacks import OnEpoch, Stop
from mnist_cnn.training.checkpoint import BeganAgain, Checkpoint, EpochMetrics
from mnist_cnn.training.data import Data
from mnist_cnn.training.failure import TrainingFailed
from mnist_cnn.training.fit import Training
from mnist_cnn.training.recipe import recipe
from mnist_cnn.training.saving import save_scored, weights_digest
from mnist_cnn.workers import machine


@dataclass(frozen=True)
class Trained:
    """The outcome of a training.

    Attributes:
        summary: `best_epoch`; `train_seconds` of all epochs, including those before an interruption
            and those of the trial that it continues; `parameters` and `multiply_accumulates` if
            they are known. Unless the training was stopped, also its scores as `best_<name>`: the
            metrics of the saved model on the validation images, or those of a HyperModel's own
            `fit`; and `milliseconds_per_image` if it is asked for: the median time in which this
            worker predicts one image.
        stop: Why the training ended early; None if it did not.
    """

    summary: EpochMetrics
    stop: Stop | None


@dataclass(frozen=True)
class _Fitted:
    """A trained model: its checkpoint, the return values of `train`, its size and metric names."""

    checkpoint: Checkpoint
    stop: Stop | None
    returned: EpochMetrics
    size: dict[str, int]
    metric_names: list[str]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, which becomes one run in MLflow.

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
    on_size: Callable[[EpochMetrics], None] = lambda size: None
    precision: str | None = None

    def train(self, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch) -> Trained:
        """Build a model, train it, score it and save it.

        The training resumes from a checkpoint in the journal's folder. If `on_epoch` stops it, no
        model is saved.

        Args:
            hp: The hyperparameters.
            on_epoch: Called with each epoch, from 1, and its metrics once they are in the
                checkpoint. The training stops if it returns a `Stop`. It is not called for epochs
                that are in the journal from before an interruption.

        Raises:
            TrainingFailed: The training cannot go on.
            UserError: No training of the experiment could succeed.
            Exception: Whatever the space raises.
        """
        try:
            fitted = self._build_and_fit(hp, on_epoch)
        except BeganAgain as error:
            (self.journal.folder / CHECKPOINT_FILE).unlink()
            self.journal.anew(str(error))
            fitted = self._build_and_fit(hp, on_epoch)
        return self._finish(hp, fitted)

    def _build_and_fit(self, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch) -> "_Fitted":
        self._prepare_session()
        model, size = self._build(hp)
        declared = dict(hp.values)
        checkpoint, stop, returned = self._fit(model, hp, on_epoch)
        if later := {name: hp.values[name] for name in hp.values.keys() - declared.keys()}:
            # A HyperModel's own `fit` has declared these.
            own = self._own_params(size)
            self.journal.write("params", params=_distinct(later, own), values=later)
            self.journal.write("tags", tags={tags.RECIPE: json.dumps(self.recipe(hp.values))})
        if not size and (size := architecture.size_of(model)):  # its own `fit` has built it
            self.journal.write("params", params=size, values={})
        own_fit = has_own_fit(self.experiment.space)
        names = [] if own_fit else list(model.get_metrics_result())
        return _Fitted(checkpoint, stop, returned, size, names)

    def _finish(self, hp: keras_tuner.HyperParameters, fitted: "_Fitted") -> Trained:
        """Summarise the training, and save the model unless `on_epoch` stopped it."""
        checkpoint, stop = fitted.checkpoint, fitted.stop
        # One point is no curve, and a picture takes 0.1 s of a few.
        brief = len(checkpoint.history) == 1 and stop is not None and stop.kind == "rung"
        summary = self._summarise(checkpoint, fitted.size, brief)
        if stop and not stop.scored:
            return Trained(summary, stop)
        scores: EpochMetrics = {}
        if checkpoint.kept_weights:
            path = self.journal.folder / MODEL_FILE
            weights, names = checkpoint.kept_weights, fitted.metric_names
            scores, milliseconds = save_scored(
                self.experiment, self.data, hp, weights, path, names, timed=self._is_timed()
            )
            if milliseconds is not None:
                summary[LATENCY] = milliseconds
        if has_own_fit(self.experiment.space):
            # Only its `fit` knows how the model is scored.
            objectives = {objective.metric for objective in self.experiment.objectives}
            kept = checkpoint.kept_metrics.items()
            scores = {n: v for n, v in kept if n.startswith("val_") or n in objectives}
            scores |= fitted.returned
        summary |= {f"best_{name}": value for name, value in scores.items()}
        return Trained(summary, stop)

    def _is_timed(self) -> bool:
        """Whether an objective or a constraint of the trial asks how fast its model predicts."""
        if self.keep == "last":  # a confirmation, which only has the first objective
            return False
        objectives, constraints = self.experiment.objectives, self.experiment.constraints
        return LATENCY in [o.metric for o in objectives] + [c.metric for c in constraints]

    def _policy(self) -> str:
        return self.precision or precision(self.experiment)

    def _prepare_session(self) -> None:
        """Make everything that Keras does from here on a function of the seed."""
        keras.backend.clear_session()
        # This has collected garbage. What is left will stay, such as what TensorFlow keeps of every
        # training. Freezing it saves 0.27 s in a worker's fiftieth training.
        gc.freeze()
        keras.utils.set_random_seed(self.seed)
        if self.experiment.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.config.set_dtype_policy(self._policy())

    def _build(self, hp: keras_tuner.HyperParameters) -> tuple[keras.Model, dict[str, int]]:
        """Build the model and write the run's start. Return the model and its size."""
        model = build(self.experiment, self.data, hp, epochs=self.epochs)
        size = architecture.size_of(model)
        self.start(dict(hp.values), architecture.in_words(model), size)
        self.on_size({name: float(value) for name, value in size.items()})
        self._write_file(SOURCES_FILE, lambda path: path.write_text(self._sources(), "utf-8"))
        _refuse_what_does_not_fit(model, self.experiment.batch_size)
        return model, size

    def _fit(
        self, model: keras.Model, hp: keras_tuner.HyperParameters, on_epoch: OnEpoch
    ) -> tuple[Checkpoint, Stop | None, EpochMetrics]:
        """Train the model. Each answer of `on_epoch` is in the journal before it takes effect."""
        journal = self.journal

        def on_each_epoch(epoch: int, metrics: EpochMetrics) -> Stop | None:
            if epoch in journal.stops:  # a pruner that is asked again may answer differently
                found = journal.stops[epoch]
                return Stop(**found) if found else None
            stop = on_epoch(epoch, metrics)
            journal.metrics(epoch, metrics, asdict(stop) if stop else None)
            return stop

        objective = self.experiment.objectives[0]
        path = journal.folder / CHECKPOINT_FILE
        if journal.last_step and not path.exists():
            journal.anew("its checkpoint is gone")
        checkpoint = Checkpoint(path, objective, self.recipe(dict(hp.values)), self.keep)
        training = Training(
            experiment=self.experiment,
            data=self.data,
            epochs=self.epochs,
            seed=self.seed,
            checkpoint=checkpoint,
            on_epoch=on_each_epoch,
            on_anew=journal.anew,
        )
        stop, returned = training.train(model, hp)
        if returned:
            return checkpoint, stop, returned
        if not checkpoint.epochs_with_objective and (stop is None or stop.scored):
            raise UserError(
                f"the HyperModel's fit neither returned {objective.metric!r} nor passed it to the "
                "callbacks in the logs of an epoch"
            )
        if not checkpoint.kept_epoch:
            raise TrainingFailed(f"{objective.metric} was not a number in any epoch")
        return checkpoint, stop, returned

    def _summarise(self, checkpoint: Checkpoint, size: dict[str, int], brief: bool) -> EpochMetrics:
        """Record the curves, unless it was brief, and the kept weights. Return the summary."""
        if checkpoint.history and not brief:
            figure = curves(checkpoint.history, self.title)
            self._write_file("curves.png", lambda path: style.save(figure, path))
        if checkpoint.kept_weights:
            digest = weights_digest(checkpoint.kept_weights)
            self.journal.write("tags", tags={tags.WEIGHTS: digest})
        return {
            "best_epoch": float(checkpoint.best_epoch),
            "train_seconds": sum(metrics["epoch_seconds"] for metrics in checkpoint.history),
            **{name: float(value) for name, value in size.items()},
        }

    def _write_file(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file of the run. It is on the disk before the journal names it."""
        replace_file(self.journal.folder / name, write)
        self.journal.write("artifact", path=name)

    def _sources(self) -> str:
        found = sources.sources_of(self.experiment.space, self.experiment.dataset)
        return json.dumps({name: asdict(source) for name, source in found.items()}, indent=1)

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

    def recipe(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return everything that the outcome of this training with `values` depends on."""
        return recipe(
            self.experiment,
            self.data.dataset,
            values=values,
            seed=self.seed,
            epochs=self.epochs,
            keep=self.keep,
            precision=self._policy(),
        )


def _distinct(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the values under names that differ from the run's own, such as `hp.seed`."""
    return {f"hp.{n}" if n in own or n.startswith("hp.") else n: v for n, v in values.items()}


def _refuse_what_does_not_fit(model: keras.Model, batch_size: int) -> None:
    needed, free = architecture.training_bytes(model, batch_size), machine.available_memory()
    if needed is not None and needed > free:
        raise TrainingFailed(
            f"its training needs {needed / 2**30:.1f} GiB of memory or more, "
            f"{free / 2**30:.1f} GiB are free"
        )
