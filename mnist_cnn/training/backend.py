"""What Keras computes on and with here: a GPU or not, the precision, XLA or not."""

import keras

from mnist_cnn.experiment import Experiment
from mnist_cnn.workers import machine


def on_gpu() -> bool:
    """Return whether Keras's backend computes on a GPU in this process."""
    # Asked for GPUs, JAX raises where there are none; asked for devices, either names its best.
    return bool(keras.distribution.list_devices()[0].startswith(("gpu", "cuda")))


def precision(experiment: Experiment) -> str:
    """Return the Keras dtype policy that the experiment's models are trained with.

    On a CPU it is what the processor multiplies fastest. On a GPU it is float32, which NVIDIA's
    GPUs since Ampere multiply as TF32 unless told otherwise.
    """
    return experiment.precision or ("float32" if on_gpu() else machine.precision())


def jit_compile(experiment: Experiment) -> bool:
    """Return whether XLA compiles the experiment's training step."""
    if experiment.jit_compile is None:
        return bool(keras.config.backend() == "jax")
    return experiment.jit_compile
