"""Training one model: batches, learning rate, and a checkpoint that a killed training goes on from.

Whatever happens in a training is a function of the model, the images and the seed: the order of the
images comes from (seed, epoch), the learning rate from the optimizer's step, and the checkpoint of
an epoch holds every variable, those of dropout's generators included. So a training that was killed
and goes on ends where it would have ended.
"""

import functools
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from mnist_cnn.datasets import Images
from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment, Objective, SearchSpace
from mnist_cnn.training.averaging import WeightAverage, as_float32
from mnist_cnn.workers import machine

# Batches that run in one call of the training function. Sixteen take the Python out of the loop
# (5 % of an epoch); more gain nothing and delay the notice of a NaN.
STEPS_PER_EXECUTION = 16
EVALUATION_BATCH_SIZE = 1000

# tf.data's autotuner finds nothing to tune in what is in memory already, but at the end of every
# iteration its thread is waited for: 0.3 s after a validation, up to 18 s after a training of 30 s.
_UNTUNED = tf.data.Options()
_UNTUNED.autotune.enabled = False

EpochMetrics = dict[str, float]


class TrainingFailed(Exception):
    """The training cannot go on; the message is the trial's reason."""


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the state after every epoch in one file, the best weights, and ends a stale training.

    average: what is validated; the best weights are its at the best epoch.
    history: metrics of each finished epoch: Keras's own, `learning_rate` and `epoch_seconds`.
    values: the hyperparameters, which a HyperModel's own `fit` adds to.
    Whatever is to happen at an epoch's end beside that is given as `on_epoch`: it is called with
    the epoch, counted from 1, and its metrics, after they are safe on disk, and again for each
    epoch that is restored. If it returns True the training ends there, in Keras's own way, so that
    other callbacks have their `on_train_end`.

    Raises UserError if the objective's metric does not exist, TrainingFailed if the loss is NaN.
    """

    def __init__(
        self,
        path: Path,
        objective: Objective,
        patience: int,
        on_epoch: Callable[[int, EpochMetrics], bool],
    ) -> None:
        super().__init__()
        self.path, self.objective, self.patience = path, objective, patience
        self.on_epoch = on_epoch
        self.average = WeightAverage()
        self.ended = False
        self.history: list[EpochMetrics] = []
        self.values: dict[str, Any] = {}
        self.best_weights: list[Any] = []

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the first best value of the objective; 0 before the first."""
        values = [metrics[self.objective.metric] for metrics in self.history]
        best, best_epoch = self.objective.worst, 0
        for epoch, value in enumerate(values, start=1):
            if self.objective.better(value, best):
                best, best_epoch = value, epoch
        return best_epoch

    @property
    def stale(self) -> bool:
        """Whether the objective has not become better for `patience` epochs."""
        return len(self.history) - self.best_epoch >= self.patience

    def restore(self, model: keras.Model) -> None:
        """Load the file into `model`, if there is one."""
        if not self.path.exists():
            return
        with np.load(self.path) as saved:
            self.history = json.loads(str(saved["history"]))
            self.values = json.loads(str(saved.get("values", "{}")))
            if "best_0" in saved:  # none while the objective is no number
                self.best_weights = [saved[f"best_{i}"] for i in range(len(model.weights))]
            for i, variable in enumerate(_variables(model)):
                variable.assign(saved[f"variable_{i}"])
            if count := int(saved.get("averaged", 0)):
                self.average.restore(
                    count, [saved[f"average_{i}"] for i in range(len(model.weights))]
                )
        for epoch, metrics in enumerate(self.history, start=1):
            self.ended = self.on_epoch(epoch, metrics) or self.stale

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: EpochMetrics | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        metrics["learning_rate"] = float(self.model.optimizer.learning_rate)
        metrics["epoch_seconds"] = time.monotonic() - self.started
        if self.objective.metric not in metrics:
            raise UserError(unknown_metric(self.objective.metric, metrics))
        if not math.isfinite(metrics["loss"]):
            raise TrainingFailed(f"the loss became {metrics['loss']} in epoch {epoch + 1}")
        self.history.append(metrics)
        if self.best_epoch == len(self.history):
            self.best_weights = self.average.weights
        self._save()
        self.ended = self.on_epoch(len(self.history), metrics) or self.stale
        self.model.stop_training = self.ended

    def _save(self) -> None:
        arrays: dict[str, Any] = {
            "history": json.dumps(self.history),
            "values": json.dumps(self.values),
        }
        arrays |= {f"variable_{i}": as_float32(v) for i, v in enumerate(_variables(self.model))}
        arrays |= {f"best_{i}": weight for i, weight in enumerate(self.best_weights)}
        if self.average.count:
            arrays["averaged"] = self.average.count
            arrays |= {f"average_{i}": w for i, w in enumerate(self.average.weights)}
        partly = self.path.with_suffix(".part")
        with partly.open("wb") as file:
            np.savez(file, **arrays)
            os.fsync(file.fileno())  # or a power cut may leave the new name without its content
        partly.replace(self.path)  # a kill leaves the old file or the new one, never a half


def unknown_metric(name: str, metrics: EpochMetrics) -> str:
    """The message for an objective whose metric the training does not have."""
    return f"the objective's metric {name!r} does not exist; valid: {', '.join(sorted(metrics))}"


def train(
    model: keras.Model,
    hp: keras_tuner.HyperParameters,
    images: Images,
    validation: Images,
    *,
    experiment: Experiment,
    epochs: int,
    seed: int,
    checkpoint: Checkpoint,
) -> None:
    """Train `model` to `epochs` epochs in all, going on from the checkpoint where there is one.

    `checkpoint` afterwards holds the history and the best epoch's weights. A HyperModel with a
    `fit` of its own is called with the arrays, as KerasTuner calls it, and keeps its own learning
    rate and batches.

    Raises TrainingFailed, UserError, and whatever the model or the checkpoint's `on_epoch` raises.
    """
    space, batch_size = experiment.space, experiment.batch_size
    own_fit = has_own_fit(space)
    steps = min(experiment.epoch_images or len(images), len(images)) // batch_size
    model.jit_compile = jit_compile(experiment)
    if not own_fit:
        if steps == 0:
            raise TrainingFailed(f"an epoch's images do not fill a batch of {batch_size}")
        # Keras runs whole calls only: 25 steps in calls of 16 would be 32, past the epoch's end.
        calls = math.ceil(steps / STEPS_PER_EXECUTION)
        model.steps_per_execution = steps // calls
        steps = calls * model.steps_per_execution
        one_cycle(model.optimizer, steps * epochs)
        checkpoint.average.begin = rising_steps(steps * epochs)
        # Before the checkpoint is restored, and with it the state of what is random.
        build_metrics(model, images)
    model.optimizer.build(model.trainable_variables)
    checkpoint.restore(model)
    done = len(checkpoint.history)
    if done >= epochs or checkpoint.ended:
        hp.values.update(checkpoint.values)  # those of a HyperModel's own `fit` as well
        return
    checkpoint.values = hp.values
    common: dict[str, Any] = {
        "epochs": epochs,
        "initial_epoch": done,
        "callbacks": [keras.callbacks.TerminateOnNaN(), checkpoint.average, checkpoint],
        "verbose": 0,
    }
    if own_fit:
        arrays = (validation.x, validation.y)
        space.fit(hp, model, images.x, images.y, validation_data=arrays, **common)  # type: ignore[union-attr]
    else:
        model.fit(
            batches(images, batch_size, seed, done * steps),
            steps_per_epoch=steps,
            shuffle=False,  # they come in an order of their own
            validation_data=evaluation_batches(validation),
            **common,
        )


def build_metrics(model: keras.Model, images: Images) -> None:
    """Have the compiled metrics make their variables now.

    They do when they are first used. Were that inside a training or evaluation function, TensorFlow
    would trace it twice, which takes up to a second; Keras's other backends see to it themselves.
    """
    if keras.config.backend() == "tensorflow":
        one = images.x[:1]
        prediction = model(one, training=False)
        model.compute_metrics(one, images.y[:1], prediction, sample_weight=None)


def on_gpu() -> bool:
    """Whether Keras's backend computes on a GPU in this process."""
    # Asked for GPUs, JAX raises where there are none; asked for devices, either names its best.
    return bool(keras.distribution.list_devices()[0].startswith(("gpu", "cuda")))


def precision(experiment: Experiment) -> str:
    """The Keras dtype policy that the experiment's models are trained with.

    What the processor multiplies fast says nothing of a GPU. There it is float32, which GPUs since
    NVIDIA's Ampere multiply as TF32 unless told otherwise.
    """
    return experiment.precision or ("float32" if on_gpu() else machine.precision())


def jit_compile(experiment: Experiment) -> bool:
    """Whether XLA compiles the experiment's training step."""
    if experiment.jit_compile is None:
        return bool(keras.config.backend() == "jax")
    return experiment.jit_compile


def has_own_fit(space: SearchSpace) -> bool:
    """Whether `space` is a HyperModel that overrides `fit`, to tune the batch size for example."""
    return getattr(type(space), "fit", None) not in (None, keras_tuner.HyperModel.fit)


def batches(images: Images, batch_size: int, seed: int, first_batch: int) -> tf.data.Dataset:
    """Endless batches of (x, y) from number `first_batch` on.

    Every pass over the images has an order of its own, given by the seed and the pass. The images
    stay in memory as two tensors and a batch is one gather, so no Python runs in between. A pass's
    last images that do not fill a batch are left out, other ones every time.
    """
    x, y = _tensors(images)
    steps = len(images) // batch_size

    def indices(number: tf.Tensor) -> tf.data.Dataset:
        seeds = [tf.constant(seed, tf.int64), number]
        order = tf.random.experimental.stateless_shuffle(tf.range(len(images)), seeds)
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(order[: steps * batch_size], [steps, batch_size])
        )

    return (
        tf.data.Dataset.counter(first_batch // steps)
        .flat_map(indices)
        .skip(first_batch % steps)
        .map(lambda index: (tf.gather(x, index), tf.gather(y, index)))
        .prefetch(2)
        .with_options(_UNTUNED)
    )


@functools.lru_cache(maxsize=1)  # a third of a second for MNIST, and every trial's are the same
def _tensors(images: Images) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(images.x), tf.constant(images.y)


def evaluation_batches(images: Images) -> tf.data.Dataset:
    """Large batches of (x, y), all images once and in order."""
    all_images = tf.data.Dataset.from_tensor_slices((images.x, images.y))
    return all_images.batch(EVALUATION_BATCH_SIZE).with_options(_UNTUNED)


def one_cycle(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Make the learning rate rise from 1/25 of its value to it and fall to zero within `steps`.

    An eighth of the steps is the linear rise, the rest a half cosine (after L. N. Smith and
    N. Topin, "Super-Convergence", 2018). An optimizer that has a schedule already keeps it.
    """
    own = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if isinstance(own._learning_rate, LearningRateSchedule):
        return
    peak, rise = float(optimizer.learning_rate), rising_steps(steps)
    optimizer.learning_rate = CosineDecay(
        peak / 25, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
    )


def rising_steps(steps: int) -> int:
    """The first steps of a training, in which its learning rate rises and its weights go far.

    The average of the weights begins after them, also where an optimizer keeps its own schedule.
    """
    return max(1, steps // 8)


def _variables(model: keras.Model) -> list[Any]:
    metrics = {id(variable) for variable in model.metrics_variables}  # begin anew at every epoch
    kept = [variable for variable in model.variables if id(variable) not in metrics]
    return [*kept, *model.optimizer.variables]
