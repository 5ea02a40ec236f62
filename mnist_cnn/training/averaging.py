"""The average of the weights during training, which is validated and saved.

At a constant learning rate the weights jump around a point that is better than any of them. A model
with averaged weights is therefore as good as one whose learning rate has fallen (B. T. Polyak and
A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992).
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# Update n has a weight of (DECAY + 1) / (n + DECAY), so the average is mostly over the last seventh
# of all updates, however many there are. This is polynomial-decay averaging (O. Shamir and
# T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", 2013). With a decay of 3 the
# average lags behind at the end if the network still learns fast.
DECAY = 6


def as_float32(array: Any) -> NDArray[Any]:
    """Return an array in NumPy, with half-precision floats converted to float32.

    NumPy's files do not support bfloat16, and half precision is too coarse to average.
    """
    known: NDArray[Any] = np.asarray(array)
    return known.astype(np.float32) if known.dtype.name in ("bfloat16", "float16") else known


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Averages the weights after each call of the training function, and validates the average.

    A call trains on several batches, see `batches.STEPS_PER_EXECUTION`.

    Args:
        begin: The number of batches after which averaging begins. Until then the average is the
            current weights. None never averages.

    Attributes:
        begin: The number of batches after which averaging begins, or None.
        count: The number of updates in the average.
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
        """The averaged weights, in the order of the model's weights.

        Floats have at least 32 bits. The statistics of batch normalisation are averaged too.
        Integers are not averaged: they have their last value.
        """
        return self._average or [as_float32(weight) for weight in self.model.get_weights()]

    def restore(self, count: int, average: list[Any]) -> None:
        """Continue the average of an interrupted run.

        Args:
            count: The number of updates in it.
            average: The averaged weights.
        """
        self.count, self._average = count, average

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Not counted by the optimizer's iterations: they are fewer if it accumulates gradients.
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
