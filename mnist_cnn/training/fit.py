"""Training one model, or going on with it.

Whatever happens in a training is a function of the model, the images and the seed: the order of the
images comes from (seed, epoch), the learning rate from the optimizer's step, and the checkpoint of
an epoch holds every variable, those of dropout's generators included. So a training that was killed
and goes on ends where it would have ended.
"""

import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import keras
import keras_tuner

from mnist_cnn.experiment import Experiment
from mnist_cnn.training.backend import jit_compile
from mnist_cnn.training.batches import evaluation_batches, training_batches
from mnist_cnn.training.build import build_metrics, has_own_fit
from mnist_cnn.training.callbacks import EarlyStopping, LossGuard, OnEpoch, Relay, Stop, StopLoop
from mnist_cnn.training.checkpoint import BeganAgain, Checkpoint
from mnist_cnn.training.data import Data
from mnist_cnn.training.failure import TrainingFailed
from mnist_cnn.training.learning_rate import one_cycle, rising_steps
from mnist_cnn.training.returned import metrics_of

# Batches that run in one call of the training function. Sixteen take the Python out of the loop
# (5 % of an epoch); more gain nothing and delay the notice of a NaN.
STEPS_PER_EXECUTION = 16


def train(
    model: keras.Model,
    hp: keras_tuner.HyperParameters,
    data: Data,
    *,
    experiment: Experiment,
    epochs: int,
    seed: int,
    checkpoint: Checkpoint,
    on_epoch: OnEpoch,
    on_anew: Callable[[str], None],
) -> tuple[Stop | None, dict[str, float]]:
    """Train `model` to `epochs` epochs in all, going on from the checkpoint where there is one.

    A HyperModel with a `fit` of its own is called with the arrays, as KerasTuner calls it, and
    keeps its own learning rate and batches.

    Args:
        model: Compiled, with fresh weights.
        hp: The hyperparameters that built it. A `fit` of the space's own may declare more.
        data: The images.
        experiment: Gives the space, the batches and the patience.
        epochs: Of the whole training, those of before an interruption included.
        seed: Of the order of the images.
        checkpoint: Holds the history and the best epoch's weights afterwards.
        on_epoch: Called with each epoch, from 1, and its metrics once they are in the checkpoint,
            and again for restored epochs. The training ends if it answers with a `Stop`.
        on_anew: Called with the reason if there is a checkpoint that cannot be gone on from.

    Returns:
        Why the training ended early, None if it did not; and the metrics that a `fit` of the
        space's own returned.

    Raises:
        TrainingFailed: The training cannot go on.
        UserError: The objective's metric does not exist.
        BeganAgain: A `fit` of the space's own does not go on where it was.
        Exception: Whatever the model, the space or `on_epoch` raises.
    """
    model.jit_compile = jit_compile(experiment)
    own_fit = has_own_fit(experiment.space)
    steps = 0 if own_fit else _prepare(model, data, experiment, epochs, checkpoint)
    if model.built and getattr(model, "optimizer", None) is not None:  # it is compiled
        model.optimizer.build(model.trainable_variables)
    if problem := checkpoint.restore(model):
        on_anew(problem)
    relay = Relay(checkpoint, on_epoch)
    # To stop where the objective gets no better is a choice by the validation images, too.
    patience = experiment.patience if checkpoint.keep == "best" else epochs
    stale = EarlyStopping(checkpoint, patience)
    relay.catch_up()
    done = len(checkpoint.history)
    finished = done >= epochs or stale.stop is not None
    if own_fit and done and not relay.stop:
        if finished:
            raise BeganAgain("its own fit has not returned yet")
        if not model.compiled:
            raise BeganAgain("its own fit has an optimizer of its own")
    if finished or relay.stop:
        hp.values.update(checkpoint.values)  # those of a HyperModel's own `fit` as well
        return relay.stop or stale.stop, {}
    checkpoint.values = hp.values
    nan = keras.callbacks.TerminateOnNaN()
    common: dict[str, Any] = {
        "epochs": epochs,
        "initial_epoch": done,
        "callbacks": [nan, checkpoint.average, LossGuard(), checkpoint, relay, stale],
        "verbose": 0,
    }
    if own_fit:
        result = _call_fit(experiment.space, hp, model, data, common)
        returned = metrics_of(result, experiment.objectives)
        return relay.stop or stale.stop, returned
    model.fit(
        training_batches(data.train, experiment.batch_size, seed, done * steps),
        steps_per_epoch=steps,
        shuffle=False,  # they come in an order of their own
        validation_data=evaluation_batches(data.validation),
        **common,
    )
    return relay.stop or stale.stop, {}


def _call_fit(
    space: Any,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    data: Data,
    common: dict[str, Any],
) -> Any:
    """Call a HyperModel's own `fit` with the arrays, and with what else it takes."""
    given = common | {"validation_data": (data.validation.x, data.validation.y)}
    parameters = inspect.signature(space.fit).parameters.values()
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        names = {parameter.name for parameter in parameters}
        given = {name: value for name, value in given.items() if name in names}
    with suppress(StopLoop):
        return space.fit(hp, model, data.train.x, data.train.y, **given)
    return None


def _prepare(
    model: keras.Model, data: Data, experiment: Experiment, epochs: int, checkpoint: Checkpoint
) -> int:
    """Set the steps of one call, the learning rate and the averaging; return an epoch's steps."""
    batch_size, images = experiment.batch_size, data.train
    steps = min(experiment.epoch_images or len(images), len(images)) // batch_size
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
    return int(steps)
