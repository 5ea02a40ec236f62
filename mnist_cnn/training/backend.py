"""How Keras computes in this process: GPU or CPU, the precision, XLA or not."""

import keras

from mnist_cnn.experiment import Experiment
from mnist_cnn.workers import machine


def on_gpu() -> bool:
    """Return whether Keras's backend computes on a GPU in this process."""
    # JAX raises if it is asked for GPUs and there are none. Both backends list their best device
    # first.
    return bool(keras.distribution.list_devices()[0].startswith(("gpu", "cuda")))


def precision(experiment: Experiment) -> str:
    """Return the Keras dtype policy with which the experiment's models are trained.

    Unless the experiment sets it, it is the fastest for the CPU, or float32 on a GPU. NVIDIA GPUs
    since Ampere multiply float32 as TF32 by default.
    """
    return experiment.precision or ("float32" if on_gpu() else machine.precision())


def jit_compile(experiment: Experiment) -> bool:
    """Return whether XLA compiles the experiment's training step."""
    if experiment.jit_compile is None:
        return bool(keras.config.backend() == "jax")
    return experiment.jit_compile
