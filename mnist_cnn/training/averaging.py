"""The average of a training's weights, which is what is validated and saved.

At a high learning rate the weights jump about a point that is better than each of them, so a model
whose weights are averaged is good long before the learning rate has fallen (B. T. Polyak and
A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992).
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# The weights of the n-th time count as DECAY + 1 of n + DECAY, so the average is mostly of the last
# seventh of the times, however many there are: the polynomial-decay averaging of O. Shamir and
# T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", 2013. With a decay of 3 it
# lags behind at the end where a network still learns fast.
DECAY = 6


def as_float32(array: Any) -> NDArray[Any]:
    """`array` for NumPy: its files do not know bfloat16, and eight bits are too few to average."""
    known: NDArray[Any] = np.asarray(array)
    return known.astype(np.float32) if known.dtype.name in ("bfloat16", "float16") else known


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Averages the weights after every call of the training function; validation sees the average.

    A call is of several batches, see training.STEPS_PER_EXECUTION.
    begin: after how many batches it begins; until then, and always if that is None, the average is
    the weights as they are.
    count: how many times are in it.
    """

    def __init__(self, begin: int | None = None) -> None:
        super().__init__()
        self.begin = begin
        self.count = 0
        self._epoch = 0
        self._average: list[Any] = []
        self._own: list[Any] = []

    @property
    def weights(self) -> list[Any]:
        """The averages of the model's weights, in their order; of integers the last.

        Floats have 32 bits or more. The statistics of batch normalisation are averaged with the
        rest.
        """
        return self._average or [as_float32(weight) for weight in self.model.get_weights()]

    def restore(self, count: int, average: list[Any]) -> None:
        """Go on from what an interrupted training had."""
        self.count, self._average = count, average

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Not the optimizer's iterations, which are fewer where it accumulates gradients.
        if self.begin is None or self._epoch * self.params["steps"] + batch + 1 <= self.begin:
            return
        self.count += 1
        share = (DECAY + 1) / (self.count + DECAY)
        self._average = [
            old + np.asarray(share, old.dtype) * (new - old) if old.dtype.kind == "f" else new
            for old, new in zip(self.weights, self.model.get_weights(), strict=True)
        ]

    def on_test_begin(self, logs: Any = None) -> None:
        if self._average:
            self._own = self.model.get_weights()
            self.model.set_weights(self._average)

    def on_test_end(self, logs: Any = None) -> None:
        if self._average:
            self.model.set_weights(self._own)
