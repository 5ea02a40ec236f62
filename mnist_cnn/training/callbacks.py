"""Callbacks at the end of an epoch: a guard against NaN, a relay of metrics, early stopping."""

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
        kind: `look`: the look at the configuration is over. `pruned`: the trial is behind others.
            `replayed`: the recorded training ended here. `stale`: the objective did not improve.
        reason: The reason in words, with the epoch.
    """

    kind: str
    reason: str


class StopLoop(Exception):
    """Ends a HyperModel's own training loop if it ignores `stop_training`."""


OnEpoch = Callable[[int, EpochMetrics], Stop | None]


class LossGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Fails a training whose loss is not finite.

    Raises:
        TrainingFailed: At the end of an epoch whose loss is not finite.
    """

    def on_epoch_end(self, epoch: int, logs: EpochMetrics | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss became {float(loss)} in epoch {epoch + 1}")


class Relay(keras.callbacks.Callback):  # type: ignore[misc]
    """Passes on the metrics of each epoch once they are in the checkpoint, and stops if told to.

    The training stops by `stop_training`, so that other callbacks get their `on_train_end`. A loop
    that ignores it is ended at its next epoch.

    Args:
        checkpoint: The checkpoint, which precedes this callback in the list.
        on_epoch: Called with the epoch, from 1, and its metrics. Returns why the training should
            stop, or None.

    Attributes:
        stop: The last return value of `on_epoch`.
    """

    def __init__(self, checkpoint: Checkpoint, on_epoch: OnEpoch) -> None:
        super().__init__()
        self._checkpoint, self._on_epoch = checkpoint, on_epoch
        self.stop: Stop | None = None

    def catch_up(self) -> None:
        """Pass on the metrics of restored epochs. The last process may have died before it did."""
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
    """Stops a training whose objective has not improved for `patience` epochs.

    Keras's own callback counts from the start of `fit`, so it would count again after a resumption.

    Args:
        checkpoint: Has the history and the best epoch.
        patience: In epochs.
    """

    def __init__(self, checkpoint: Checkpoint, patience: int) -> None:
        super().__init__()
        self._checkpoint, self._patience = checkpoint, patience

    @property
    def stop(self) -> Stop | None:
        """Why the training should stop, or None."""
        best = self._checkpoint.best_epoch
        if len(self._checkpoint.history) - best < self._patience:
            return None
        return Stop("stale", f"no better since epoch {best}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.stop:
            self.model.stop_training = True
