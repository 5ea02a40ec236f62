"""Callbacks at the end of an epoch: guards, a relay of metrics, early stopping."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from mnist_cnn.errors import unknown
from mnist_cnn.objectives import ACCURACY
from mnist_cnn.training.checkpoint import Checkpoint, EpochMetrics
from mnist_cnn.training.failure import TrainingFailed


@dataclass(frozen=True)
class Stop:
    """Why training ended before the last epoch.

    Attributes:
        kind: `rung`: it stopped at a rung, and may be continued. `pruned`: the trial is behind
            others. `replayed`: the recorded run ended here. `stale`: the objective did not improve.
        reason: The reason in words, with the epoch.
    """

    kind: str
    reason: str

    @property
    def scored(self) -> bool:
        """Whether the run is scored like one that trained all its epochs."""
        return self.kind == "stale"


class StopLoop(Exception):
    """Ends a HyperModel's own training loop if it ignores `stop_training`."""


OnEpoch = Callable[[int, EpochMetrics], Stop | None]


class LossGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Fails a run whose loss is not finite.

    Raises:
        TrainingFailed: At the end of an epoch whose loss is not finite.
    """

    def on_epoch_end(self, epoch: int, logs: EpochMetrics | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss became {float(loss)} in epoch {epoch + 1}")


class ObjectiveGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Fails a run whose validated epochs do not have the objective.

    The models of other configurations may have it: the check before a search has found it.

    Args:
        checkpoint: Precedes this callback in the list.
        validated: The validated epochs, from 1.

    Raises:
        TrainingFailed: At the end of a validated epoch without the objective.
    """

    def __init__(self, checkpoint: Checkpoint, validated: Sequence[int]) -> None:
        super().__init__()
        self._checkpoint, self._validated = checkpoint, validated

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        metric, metrics = self._checkpoint.objective.metric, self._checkpoint.history[-1]
        if epoch + 1 in self._validated and metric not in metrics:
            raise TrainingFailed(unknown_metric(metric, sorted(metrics)))


def unknown_metric(name: str, valid: Iterable[str]) -> str:
    """Return the message for an objective whose metric does not exist."""
    valid = list(valid)
    example = f"; such as objectives=(Maximize({ACCURACY!r}),)" if ACCURACY in valid else ""
    return (
        f"the objective's metric {unknown(name, valid)} does not exist; valid: {', '.join(valid)}"
        f"{example}"
    )


class Relay(keras.callbacks.Callback):  # type: ignore[misc]
    """Passes on the metrics of each epoch once they are in the checkpoint, and stops if asked to.

    It stops training by `stop_training`, so that other callbacks get their `on_train_end`. A loop
    that ignores it is ended at its next epoch.

    Args:
        checkpoint: The checkpoint, which precedes this callback in the list.
        on_epoch: Called with the epoch, from 1, and its metrics. Returns why training should stop,
            or None.

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
            if self.stop:
                return

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.stop:
            raise StopLoop
        history = self._checkpoint.history
        self.stop = self._on_epoch(len(history), history[-1])
        if self.stop:
            self.model.stop_training = True


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops training if the objective has not improved for `patience` epochs.

    Epochs without the objective are not counted. Keras's own callback counts from the start of
    `fit`, so it would count again after a resumption.

    Args:
        checkpoint: Has the history and the best epoch.
        patience: In epochs.
    """

    def __init__(self, checkpoint: Checkpoint, patience: int) -> None:
        super().__init__()
        self._checkpoint, self._patience = checkpoint, patience

    @property
    def stop(self) -> Stop | None:
        """Why training should stop, or None."""
        best = self._checkpoint.best_epoch
        later = [epoch for epoch in self._checkpoint.epochs_with_objective if epoch > best]
        if len(later) < self._patience:
            return None
        return Stop("stale", f"no better since epoch {best}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.stop:
            self.model.stop_training = True
