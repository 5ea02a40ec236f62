"""The cost of augmentation: CPU milliseconds of a training step, and of the augmentation in it.

    .venv/bin/python benchmarks/augmentation.py [--repeat 9]

Prints a table: each kind of augmentation at its strongest, and all kinds together, in milliseconds
of one thread for a batch of experiments/mnist.py, and as a share of the step of the default
network, the experiment's first baseline without augmentation. All are measured alternately, and the
table has the medians. CPU time counts, so other work on the machine matters little.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers.machine import threads_environment  # noqa: E402

CALLS = 16  # steps in one call, as in training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    from search_spaces.augmentation import ALL, LIGHT

    networks = {"the step": step()}
    distorted = {kind: distortion(kind) for kind in ALL}
    distorted |= {"light: " + ", ".join(LIGHT): distortion(*LIGHT), "all": distortion(*ALL)}
    found: dict[str, list[float]] = {name: [] for name in networks | distorted}
    for _ in range(options.repeat):
        for name, call in (networks | distorted).items():
            found[name].append(cpu_milliseconds(call) / CALLS)
    whole = statistics.median(found["the step"])
    print("| distortion, at its strongest | CPU ms a step | share of the default network's step |")
    print("|:--|--:|--:|")
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"| {name} | {middle:.2f} | {middle / whole:.0%} |")


def cpu_milliseconds(call: Callable[[], object]) -> float:
    """The CPU time of a call in this process."""
    started = time.process_time()
    call()
    return 1000 * (time.process_time() - started)


def step() -> Callable[[], object]:
    """A call of the default network's training function, without augmentation."""
    import keras
    import keras_tuner

    from experiments.mnist import experiment
    from mnist_cnn.training.backend import jit_compile, precision
    from mnist_cnn.training.batches import training_batches
    from mnist_cnn.training.build import build
    from mnist_cnn.training.data import load_data

    keras.config.set_dtype_policy(precision(experiment))
    data = load_data(ExperimentId("mnist"))
    hp = keras_tuner.HyperParameters()
    hp.values.update(experiment.baseline[0], shift_pixels=0)
    model = build(experiment, data, hp)
    model.jit_compile = jit_compile(experiment)
    model.steps_per_execution = CALLS
    model.make_train_function()
    train = model.train_function
    batches = iter(training_batches(data.train, experiment.batch_size, 0, 0))
    train(batches)  # traces it
    return lambda: train(batches)


def distortion(*kinds: str) -> Callable[[], object]:
    """A call that augments as many batches, each kind at its strongest."""
    import keras
    import keras_tuner
    import tensorflow as tf

    from experiments.mnist import experiment
    from mnist_cnn.training.data import load_data
    from search_spaces.augmentation import augmented

    class Strongest(keras_tuner.HyperParameters):
        def Int(self, name, min_value, max_value, **kwargs):  # noqa: N802
            return max_value

    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, augmented(Strongest(), inputs, kinds))
    images = load_data(ExperimentId("mnist")).train[slice(experiment.batch_size)].scaled().x
    size = (None, *images.shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(size, tf.float32)])
    def distort(batch):
        for _ in tf.range(CALLS):
            batch = tf.cast(tf.ensure_shape(model(batch, training=True), size), tf.float32)
        return batch

    batch = tf.constant(images)
    distort(batch)
    return lambda: distort(batch)


if __name__ == "__main__":
    main()
