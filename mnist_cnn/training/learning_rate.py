"""The learning rate over a training: one cycle, unless the optimizer has its own schedule."""

import keras
from keras.optimizers.schedules import CosineDecay


def one_cycle(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Give an optimizer a learning rate that rises and then falls to zero within `steps`.

    The rate rises linearly from 1/25 of its value to its value in an eighth of the steps, then
    falls along half a cosine (after L. N. Smith and N. Topin, "Super-Convergence", 2018). An
    optimizer with its own schedule keeps it.

    Args:
        optimizer: The optimizer, whose learning rate becomes the peak.
        steps: The number of steps of the whole training.
    """
    own = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if isinstance(own.get_config()["learning_rate"], dict):  # a schedule, not a number
        return
    peak, rise = float(optimizer.learning_rate), rising_steps(steps)
    optimizer.learning_rate = CosineDecay(
        peak / 25, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
    )


def rising_steps(steps: int) -> int:
    """Return the number of steps in which the learning rate rises and the weights change fast.

    Averaging begins after them, even if the optimizer has its own schedule.

    Args:
        steps: The number of steps of the whole training.
    """
    return max(1, steps // 8)
