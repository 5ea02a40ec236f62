"""Optimizer, learning rate and loss: hyperparameters that a search space takes in one line.

return compiled(hp, model, classes, training_steps)
"""

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
from keras import ops

from mnist_cnn.calibrated_loss import CalibratedLoss

# Without decay: they scale and shift what is normalised, and do not make a network overfit.
NOT_DECAYED = ["bias", "beta", "gamma"]


def compiled(
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    classes: int,
    training_steps: int | None = None,
) -> keras.Model:
    """Compile a classifier for integer labels and return it.

    Its metrics are `accuracy` and `calibrated_loss`, so the latter is an objective too.

    Args:
        hp: Gets the hyperparameters.
        model: Its outputs are probabilities of shape (n, classes).
        classes: The number of classes.
        training_steps: The total number of batches. None if training may stop at any time: then the
            learning rate is constant.
    """
    model.compile(
        optimizer=_optimizer(hp, training_steps),
        loss=_loss(hp.Choice("label_smoothing", [0.0, 0.005, 0.05]), classes),
        metrics=["accuracy", CalibratedLoss()],
    )
    return model


def _optimizer(
    hp: keras_tuner.HyperParameters, training_steps: int | None
) -> keras.optimizers.Optimizer:
    # Adam's and SGD's learning rates and decays differ by an order of magnitude, so each has its
    # own. A clipped gradient limits the damage of a rate that is too high for a network.
    if hp.Choice("optimizer", ["adam", "sgd"]) == "adam":
        peak = hp.Float("adam_learning_rate", 2e-4, 4e-3, sampling="log", default=1e-3)
        rate = _learning_rate(hp, peak, training_steps)
        if decay := hp.Choice("adam_weight_decay", [0.0, 0.01, 0.1]):
            optimizer = keras.optimizers.AdamW(rate, weight_decay=decay, global_clipnorm=1.0)
            optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
            return optimizer
        return keras.optimizers.Adam(rate, global_clipnorm=1.0)
    peak = hp.Float("sgd_learning_rate", 5e-3, 0.1, sampling="log", default=3e-2)
    rate = _learning_rate(hp, peak, training_steps)
    decay = hp.Choice("sgd_weight_decay", [0.0, 5e-4, 5e-3])
    optimizer = keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, weight_decay=decay or None, global_clipnorm=1.0
    )
    if decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def _learning_rate(
    hp: keras_tuner.HyperParameters, peak: float, training_steps: int | None
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate: constant, or falling to zero at the last step.

    With a constant rate, the averaging of the weights takes the place of decay.
    """
    if training_steps is None:
        return peak
    schedule = hp.Choice("schedule", ["constant", "cosine", "one_cycle"])
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(peak, training_steps)
    rising = max(1, round(0.3 * training_steps))
    # The shape is that of L. N. Smith and N. Topin, "Super-Convergence" (2017). Its rise from a
    # 25th, in three tenths of the steps, is the default of PyTorch's OneCycleLR.
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, max(1, training_steps - rising), warmup_target=peak, warmup_steps=rising
    )


def _loss(smoothing: float, classes: int) -> Callable[..., Any]:
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy()

    def smoothed_crossentropy(y_true: Any, y_pred: Any) -> Any:
        targets = ops.one_hot(ops.cast(ops.reshape(y_true, [-1]), "int32"), classes)
        return keras.losses.categorical_crossentropy(targets, y_pred, label_smoothing=smoothing)

    return smoothed_crossentropy
