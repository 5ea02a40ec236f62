"""The cost of deterministic operations: epochs of one network, with and without, alternately.

    .venv/bin/python benchmarks/determinism.py [--threads 1] [--rounds 10]

Four processes train the same network on the same images; two of them have called
`tf.config.experimental.enable_op_determinism`. They take turns epoch by epoch, so that other work
on the machine affects all of them. Printed are the seconds of each, the ratio with its spread, and
whether both of a kind reached the same weights.
"""

import argparse
import multiprocessing
import sys
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parent.parent))
IMAGES, BATCH_SIZE = 12_500, 256  # of an epoch of the experiment `mnist`
KINDS = ("off", "on", "off", "on")  # in this order, then the other way round


def epochs(connection, deterministic: bool, threads: int) -> None:
    """Train an epoch for each word received, and send its seconds; at the end the digest."""
    import os

    from mnist_cnn.workers import machine

    os.environ |= machine.threads_environment(threads) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    import time

    import keras
    import keras_tuner
    import tensorflow as tf

    from mnist_cnn.datasets import mnist
    from mnist_cnn.training.batches import training_batches
    from mnist_cnn.training.saving import weights_digest
    from search_spaces.cnn import cnn

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(machine.precision())
    model = cnn(keras_tuner.HyperParameters())
    model.jit_compile = False
    steps = IMAGES // BATCH_SIZE
    model.steps_per_execution = 16
    images = training_batches(mnist().train()[slice(IMAGES)], BATCH_SIZE, 0, 0)
    while connection.recv():
        began = time.perf_counter()
        model.fit(images, steps_per_epoch=steps // 16 * 16, verbose=0)
        connection.send(time.perf_counter() - began)
    connection.send(weights_digest(model.get_weights()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipes = []
    for kind in KINDS:
        ours, theirs = context.Pipe()
        arguments = (theirs, kind == "on", options.threads)
        context.Process(target=epochs, args=arguments, daemon=True).start()
        pipes.append(ours)
    ratios = []
    for number in range(options.rounds + 1):
        seconds = [0.0] * len(KINDS)
        for place in range(len(KINDS))[:: 1 if number % 2 else -1]:
            pipes[place].send(True)
            seconds[place] = pipes[place].recv()
        if number:  # the first one is the compilation
            ratios.append(sum(seconds[1::2]) / sum(seconds[::2]))
            told = zip(KINDS, seconds, strict=True)
            print(", ".join(f"{kind} {time:.2f} s" for kind, time in told), flush=True)
    digests: dict[str, set[str]] = {"off": set(), "on": set()}
    for kind, pipe in zip(KINDS, pipes, strict=True):
        pipe.send(False)
        digests[kind].add(pipe.recv())
    low, _, high = quantiles(ratios, n=4)
    print(
        f"{options.threads} threads: deterministic operations take {median(ratios):.3f} times as "
        f"long (quartiles {low:.3f} to {high:.3f}, {len(ratios)} rounds)"
    )
    for kind, found in digests.items():
        same = "the same" if len(found) == 1 else "different"
        print(f"{kind}: two runs of {options.rounds + 1} epochs reached {same} weights")


if __name__ == "__main__":
    main()
