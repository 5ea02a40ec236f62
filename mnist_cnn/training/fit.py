"""Trains one model, or resumes its training.

A training is a function of the model, the images and the seed. It does not depend on how long it
will last: the learning rate is the compiled one, and the weights are averaged. So it can be judged
after any epoch, and continued for as long as it deserves. Only a space that uses `training_steps`,
which it gets without rungs, makes it depend on its end. The order of the images depends on the seed
and the epoch. The checkpoint of an epoch holds every variable, including the state of dropout's
random generators. So a training that is killed and resumed gives the same result as one that is
not.
"""

import inspect
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import keras
import keras_tuner

from mnist_cnn.experiment import Experiment, Screen
from mnist_cnn.training.backend import jit_compile
from mnist_cnn.training.batches import calls_of_epoch, evaluation_batches, training_batches
from mnist_cnn.training.build import build_metrics, has_own_fit
from mnist_cnn.training.callbacks import (
    EarlyStopping,
    LossGuard,
    ObjectiveGuard,
    OnEpoch,
    Relay,
    Stop,
    StopLoop,
)
from mnist_cnn.training.checkpoint import BeganAgain, Checkpoint
from mnist_cnn.training.data import Data
from mnist_cnn.training.returned import metrics_of

# The number of batches after which averaging begins. The first weights are no use to any average.
AVERAGED_FROM = 24


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
    """Train `model` up to `epochs` epochs, resuming from the checkpoint if there is one.

    A HyperModel's own `fit` is called with the arrays, as KerasTuner calls it, and keeps its own
    learning rate and batches. Its epochs need not have the objective.

    Args:
        model: The model, compiled, with fresh weights.
        hp: The hyperparameters that built it. A HyperModel's own `fit` may declare more.
        data: The images.
        experiment: Has the space, the batch size and the patience.
        epochs: The total number of epochs, including those before an interruption.
        seed: The seed of the order of the images.
        checkpoint: Has the history and the weights to keep afterwards.
        on_epoch: Called with each epoch, from 1, and its metrics once they are in the checkpoint.
            Called again for restored epochs. The training stops if it returns a `Stop`.
        on_anew: Called with the reason if the training cannot resume from an existing checkpoint.

    Returns:
        Why the training stopped early, or None; and the metrics that a HyperModel's own `fit`
        returned.

    Raises:
        TrainingFailed: The training cannot go on.
        UserError: The objective's metric does not exist, or `fit` returned something else.
        BeganAgain: A HyperModel's own `fit` does not resume at the given epoch.
        Exception: Whatever the model, the space or `on_epoch` raises.
    """
    model.jit_compile = jit_compile(experiment)
    own_fit = has_own_fit(experiment.space)
    steps = 0 if own_fit else _prepare(model, data, experiment, checkpoint)
    if model.built and getattr(model, "optimizer", None) is not None:  # it is compiled
        model.optimizer.build(model.trainable_variables)
    if problem := checkpoint.restore(model):
        on_anew(problem)
    relay = Relay(checkpoint, on_epoch)
    # Early stopping selects by the validation images, so a run that keeps its last epoch has none.
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
        hp.values.update(checkpoint.values)  # includes those declared by a HyperModel's own `fit`
        return relay.stop or stale.stop, {}
    checkpoint.values = hp.values
    nan = keras.callbacks.TerminateOnNaN()
    validated = validated_epochs(experiment.screen, epochs)
    required = [] if own_fit else [ObjectiveGuard(checkpoint, validated)]
    common: dict[str, Any] = {
        "epochs": epochs,
        "initial_epoch": done,
        "callbacks": [nan, checkpoint.average, LossGuard(), checkpoint, *required, relay, stale],
        "verbose": 0,
    }
    if own_fit:
        result = _call_fit(experiment.space, hp, model, data, common)
        if done and isinstance(result, keras.callbacks.History):
            return relay.stop or stale.stop, {}  # it lacks the epochs before the interruption
        returned = metrics_of(result, experiment.objectives)
        return relay.stop or stale.stop, returned
    model.fit(
        training_batches(data.train, experiment.batch_size, seed, done * steps),
        steps_per_epoch=steps,
        shuffle=False,  # they are already shuffled
        validation_data=evaluation_batches(data.validation),
        validation_freq=validated,
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
    """Call a HyperModel's own `fit` with the arrays and the keyword arguments that it accepts."""
    train, validation = data.in_memory
    given = common | {"validation_data": (validation.x, validation.y)}
    parameters = inspect.signature(space.fit).parameters.values()
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        names = {parameter.name for parameter in parameters}
        given = {name: value for name, value in given.items() if name in names}
    with suppress(StopLoop):
        return space.fit(hp, model, train.x, train.y, **given)
    return None


def validated_epochs(screen: Screen | None, epochs: int) -> list[int]:
    """Return the epochs, from 1, after which a training is validated.

    Without screening, these are all epochs. With screening, epochs are short, and to validate after
    each would take a third of the time. So it is done at each rung, then after twice as many
    epochs, four times as many, and so on up to the next rung.

    Args:
        screen: The screening of the experiment.
        epochs: The number of epochs of the training.
    """
    if screen is None:
        return list(range(1, epochs + 1))
    found = {epochs}
    for rung, following in pairwise((*screen.rungs, epochs)):
        epoch = rung
        while epoch < following:
            found.add(epoch)
            epoch *= 2
    return sorted(epoch for epoch in found if epoch <= epochs)


def _prepare(model: keras.Model, data: Data, experiment: Experiment, checkpoint: Checkpoint) -> int:
    """Set up the steps per call and the averaging.

    Returns:
        The number of steps in an epoch.
    """
    calls, model.steps_per_execution = calls_of_epoch(experiment, data.train)
    checkpoint.average.begin = AVERAGED_FROM
    # Must come before the checkpoint restores the state of random generators.
    build_metrics(model, data.train)
    return int(calls * model.steps_per_execution)
