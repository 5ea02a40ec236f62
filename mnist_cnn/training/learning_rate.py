"""The learning rate over a training: one cycle, unless the optimizer has a schedule of its own."""

import keras
from keras.optimizers.schedules import CosineDecay


def one_cycle(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Make the learning rate rise from 1/25 of its value to it and fall to zero within `steps`.

    An eighth of the steps is the linear rise, the rest a half cosine (after L. N. Smith and
    N. Topin, "Super-Convergence", 2018). An optimizer that has a schedule already keeps it.
    """
    own = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if isinstance(own.get_config()["learning_rate"], dict):  # a schedule; else a number
        return
    peak, rise = float(optimizer.learning_rate), rising_steps(steps)
    optimizer.learning_rate = CosineDecay(
        peak / 25, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
    )


def rising_steps(steps: int) -> int:
    """Return the first steps of a training, in which its rate rises and its weights go far.

    The average of the weights begins after them, also where an optimizer keeps its own schedule.
    """
    return max(1, steps // 8)
