"""Trains one model, or resumes its training.

The result of training is a function of the model, the images and the seed. It does not depend on
the planned number of epochs: the learning rate is the compiled one, and the weights are averaged.
So a model can be judged after any epoch, and its training continued. The exception is a space that
uses `training_steps`, which it gets only without rungs. The order of the images depends on the seed
and the epoch. The checkpoint of an epoch holds every variable, including the state of dropout's
random generators. So a run that is killed and resumed gives the same result as an uninterrupted
one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import keras_tuner

from mnist_cnn.experiment import Experiment, Screen
from mnist_cnn.training.backend import jit_compile
from mnist_cnn.training.batches import calls_of_epoch, evaluation_batches, training_batches
from mnist_cnn.training.build import build_metrics, build_metrics_before_tracing, has_own_fit
from mnist_cnn.training.callbacks import (
    EarlyStopping,
    LossGuard,
    ObjectiveGuard,
    OnEpoch,
    Relay,
    Stop,
)
from mnist_cnn.training.checkpoint import Checkpoint
from mnist_cnn.training.data import Data
from mnist_cnn.training.own_fit import call_own_fit, metrics_of, refuse_to_resume

# The number of batches after which averaging begins. The first weights are useless in an average.
AVERAGED_FROM = 24


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of one run, to be started or resumed.

    Attributes:
        experiment: Has the space, the batch size and the patience.
        data: The images.
        epochs: The total number of epochs, including those before an interruption.
        seed: The seed of the order of the images.
        checkpoint: Has the history and the weights to keep afterwards.
        on_epoch: Called with each epoch, from 1, and its metrics once they are in the checkpoint.
            Called again for restored epochs. Training stops if it returns a `Stop`.
        on_anew: Called with the reason if training cannot resume from an existing checkpoint.
    """

    experiment: Experiment
    data: Data
    epochs: int
    seed: int
    checkpoint: Checkpoint
    on_epoch: OnEpoch
    on_anew: Callable[[str], None]

    def train(
        self, model: keras.Model, hp: keras_tuner.HyperParameters
    ) -> tuple[Stop | None, dict[str, float]]:
        """Train a model, resuming from the checkpoint if there is one.

        Args:
            model: The model, compiled, with fresh weights.
            hp: The hyperparameters that built it. A HyperModel's own `fit` may declare more.

        Returns:
            Why training stopped early, or None; and the metrics that a HyperModel's own `fit`
            returned.

        Raises:
            TrainingFailed: The run cannot continue.
            UserError: A HyperModel's own `fit` returned something that is no metric.
            BeganAgain: A HyperModel's own `fit` does not resume at the given epoch.
            Exception: Whatever the model, the space or `on_epoch` raises.
        """
        checkpoint, own_fit = self.checkpoint, has_own_fit(self.experiment.space)
        steps = self._prepare(model)
        if problem := checkpoint.restore(model):
            self.on_anew(problem)
        relay = Relay(checkpoint, self.on_epoch)
        # Early stopping selects by the validation images, which a run that keeps its last epoch
        # must not do.
        patience = self.experiment.patience if checkpoint.keep == "best" else self.epochs
        stale = EarlyStopping(checkpoint, patience)
        relay.catch_up()
        done = len(checkpoint.history)
        finished = done >= self.epochs or stale.stop is not None
        if own_fit and done and not relay.stop:
            refuse_to_resume(model, finished)
        if finished or relay.stop:
            hp.values.update(checkpoint.values)  # includes those declared by a `fit` of its own
            if not own_fit:
                build_metrics(model, self.data.train)  # whose names are asked for
            return relay.stop or stale.stop, {}
        checkpoint.values = hp.values
        if own_fit:
            returned = self._own_fit(model, hp, [relay, stale])
        else:
            self._keras_fit(model, steps, [relay, stale])
            returned = {}
        return relay.stop or stale.stop, returned

    def _prepare(self, model: keras.Model) -> int:
        """Set up how batches are computed, before the state of random generators is restored.

        Returns:
            The number of steps in an epoch; 0 if the space has its own `fit`, which decides.
        """
        model.jit_compile = jit_compile(self.experiment)
        steps = 0
        if not has_own_fit(self.experiment.space):
            calls, model.steps_per_execution = calls_of_epoch(self.experiment, self.data.train)
            steps = int(calls * model.steps_per_execution)
            self.checkpoint.average.begin = AVERAGED_FROM
            build_metrics_before_tracing(model, self.data.train)
        if model.built and getattr(model, "optimizer", None) is not None:  # it is compiled
            model.optimizer.build(model.trainable_variables)
        return steps

    def _keras_fit(
        self, model: keras.Model, steps: int, last: list[keras.callbacks.Callback]
    ) -> None:
        """Train by Keras's `fit`.

        Args:
            model: The model.
            steps: The number of steps in an epoch.
            last: The callbacks that come after those of every run.
        """
        experiment, done = self.experiment, len(self.checkpoint.history)
        validated = validated_epochs(experiment.screen, self.epochs)
        model.fit(
            training_batches(self.data.train, experiment.batch_size, self.seed, done * steps),
            steps_per_epoch=steps,
            shuffle=False,  # they are already shuffled
            validation_data=evaluation_batches(self.data.validation),
            validation_freq=validated,
            **self._given([ObjectiveGuard(self.checkpoint, validated), *last]),
        )

    def _own_fit(
        self,
        model: keras.Model,
        hp: keras_tuner.HyperParameters,
        last: list[keras.callbacks.Callback],
    ) -> dict[str, float]:
        """Train by a HyperModel's own `fit`, which gets the arrays, as KerasTuner gives it them.

        It keeps its own learning rate and batches. Its epochs need not have the objective.

        Returns:
            The metrics that it returned.
        """
        resumed = bool(self.checkpoint.history)
        result = call_own_fit(self.experiment.space, hp, model, self.data, self._given(last))
        if resumed and isinstance(result, keras.callbacks.History):
            return {}  # it lacks the epochs before the interruption
        return metrics_of(result, self.experiment.objectives, self.checkpoint.keep)

    def _given(self, last: list[keras.callbacks.Callback]) -> dict[str, Any]:
        """Return the keyword arguments of either `fit`."""
        checkpoint = self.checkpoint
        first = [keras.callbacks.TerminateOnNaN(), checkpoint.average, LossGuard(), checkpoint]
        return {
            "epochs": self.epochs,
            "initial_epoch": len(checkpoint.history),
            "callbacks": [*first, *last],
            "verbose": 0,
        }


def validated_epochs(screen: Screen | None, epochs: int) -> list[int]:
    """Return the epochs, from 1, after which a model is validated.

    Without screening, these are all epochs. With screening, epochs are short, and to validate after
    each would take a third of the time. So it is done at each rung, then after twice as many
    epochs, four times as many, and so on up to the next rung.

    Args:
        screen: The screening of the experiment.
        epochs: The number of epochs of the run.
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
