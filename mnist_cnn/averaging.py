"""The average of a training's weights, which is what is validated and saved.

At a high learning rate the weights jump about a point that is better than each of them, so a model
whose weights are averaged is good long before the learning rate has fallen (B. T. Polyak and
A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992).
"""

from typing import Any

import keras
import numpy as np
from keras import backend

# The weights of the n-th time count as DECAY + 1 of n + DECAY, so the average is mostly of the last
# seventh of the times, however many there are: the polynomial-decay averaging of O. Shamir and
# T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", 2013. With a decay of 3 it
# lags behind at the end where a network still learns fast.
DECAY = 6


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Averages the weights after every call of the training function; validation sees the average.

    first_step: of the optimizer, after which it begins; until then, and always if that is None, the
    average is the weights as they are.
    count: how often it has been updated.
    """

    def __init__(self, first_step: int | None = None) -> None:
        super().__init__()
        self.first_step = first_step
        self.count = 0
        self._average: list[Any] = []
        self._own: list[Any] = []

    @property
    def weights(self) -> list[Any]:
        """The averages of the model's weights, in their order; of integers the last.

        The statistics of batch normalisation are averaged with the rest.
        """
        return self._average or self.model.get_weights()

    def restore(self, count: int, average: list[Any]) -> None:
        """Go on from what an interrupted training had."""
        self.count, self._average = count, average

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        model = self.model
        if self.first_step is None or int(model.optimizer.iterations) <= self.first_step:
            return
        self.count += 1
        share = (DECAY + 1) / (self.count + DECAY)
        self._average = [
            old + np.asarray(share, old.dtype) * (new - old) if mean else new
            for old, new, mean in zip(
                self.weights,
                model.get_weights(),
                (backend.is_float_dtype(variable.dtype) for variable in model.weights),
                strict=True,
            )
        ]

    def on_test_begin(self, logs: Any = None) -> None:
        if self._average:
            self._own = self.model.get_weights()
            self.model.set_weights(self._average)

    def on_test_end(self, logs: Any = None) -> None:
        if self._average:
            self.model.set_weights(self._own)
