"""What happens at an epoch's end beside its checkpoint: a guard, a relay and an early stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from mnist_cnn.training.checkpoint import Checkpoint, EpochMetrics
from mnist_cnn.training.failure import TrainingFailed


@dataclass(frozen=True)
class Stop:
    """Why a training ended before its last epoch.

    Attributes:
        kind: `look`: the look at a configuration is over. `pruned`: it is behind other trials.
            `replayed`: it is where the recorded training ended. `stale`: it gets no better.
        reason: The same in words, with the epoch.
    """

    kind: str
    reason: str


class StopLoop(Exception):
    """Ends a `fit` with a loop of its own, which goes on though the training was stopped."""


OnEpoch = Callable[[int, EpochMetrics], Stop | None]


class LossGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Fails a training whose loss is not a finite number.

    Raises:
        TrainingFailed: At the end of such an epoch.
    """

    def on_epoch_end(self, epoch: int, logs: EpochMetrics | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss became {float(loss)} in epoch {epoch + 1}")


class Relay(keras.callbacks.Callback):  # type: ignore[misc]
    """Hands on each epoch's metrics once they are in the checkpoint, and stops on the answer.

    The training stops in Keras's own way, so that other callbacks have their `on_train_end`. A loop
    that does not heed that is ended at its next epoch.

    Attributes:
        stop: The last answer.
    """

    def __init__(self, checkpoint: Checkpoint, on_epoch: OnEpoch) -> None:
        super().__init__()
        self._checkpoint, self._on_epoch = checkpoint, on_epoch
        self.stop: Stop | None = None

    def catch_up(self) -> None:
        """Hand on the metrics of restored epochs, which the last process may not have."""
        for epoch, metrics in enumerate(self._checkpoint.history, start=1):
            self.stop = self._on_epoch(epoch, metrics)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.stop:
            raise StopLoop
        history = self._checkpoint.history
        self.stop = self._on_epoch(len(history), history[-1])
        if self.stop:
            self.model.stop_training = True


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a training whose objective has not become better for `patience` epochs.

    Keras's own counts from the start of a `fit`, so it would not survive a resumption.
    """

    def __init__(self, checkpoint: Checkpoint, patience: int) -> None:
        super().__init__()
        self._checkpoint, self._patience = checkpoint, patience

    @property
    def stop(self) -> Stop | None:
        """Why the training should end, or None."""
        best = self._checkpoint.best_epoch
        if len(self._checkpoint.history) - best < self._patience:
            return None
        return Stop("stale", f"no better since epoch {best}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.stop:
            self.model.stop_training = True
