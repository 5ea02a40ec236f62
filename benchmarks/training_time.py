"""The time to train one network to 99 % accuracy: as this project trains it, and plain Keras.

    .venv/bin/python benchmarks/training_time.py [--seeds 5] [--accuracy 0.99] [--passes 4]

The network is the first baseline of experiments/mnist.py. Plain Keras is `compile` and `fit` with
their defaults: Adam, batches of 32, float32. Each run has all cores for itself, and they take
turns. Compilation comes before the clock starts. The clock stands still during validation, which
comes after every 6,144 images. Printed are the seconds after which the mean over the seeds of the
validation accuracy is high enough, and their ratio.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers import machine  # noqa: E402

VALIDATED_EVERY = 6_144  # images
Curve = list[tuple[float, float]]  # seconds of training so far, validation accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--accuracy", type=float, default=0.99)
    parser.add_argument("--passes", type=int, default=4)
    options = parser.parse_args()
    os.environ.update(machine.threads_environment(machine.cores()), TF_CPP_MIN_LOG_LEVEL="3")
    curves: dict[str, list[Curve]] = {"plain Keras": [], "mnist-cnn": []}
    for seed in range(options.seeds):
        for name, found in curves.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(trained, (name, seed, options.passes)))
            print(json.dumps({"method": name, "seed": seed, "curve": found[-1]}), flush=True)
    print("| method | images | seconds, mean over the seeds (least to most) |")
    print("|---|--:|--:|")
    reached = {}
    for name, found in curves.items():
        for place, points in enumerate(zip(*found, strict=True)):
            seconds, accuracies = zip(*points, strict=True)
            if statistics.fmean(accuracies) >= options.accuracy:
                reached[name] = seconds
                images = (place + 1) * VALIDATED_EVERY
                spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
                print(f"| {name} | {images:,} | {statistics.fmean(seconds):.1f} ({spread}) |")
                break
        else:
            print(f"| {name} | not within {options.passes} passes | |")
    if len(reached) == 2:
        plain, ours = reached.values()
        ratios = [a / b for a, b in zip(plain, ours, strict=True)]
        print(f"ratio {statistics.fmean(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


def trained(name: str, seed: int, passes: int) -> Curve:
    """Train the network once, and return its curve."""
    import keras
    import keras_tuner

    from experiments.mnist import experiment
    from mnist_cnn.training.averaging import WeightAverage
    from mnist_cnn.training.backend import jit_compile, precision
    from mnist_cnn.training.batches import (
        STEPS_PER_EXECUTION,
        evaluation_batches,
        training_batches,
    )
    from mnist_cnn.training.build import build
    from mnist_cnn.training.data import load_data
    from mnist_cnn.training.fit import AVERAGED_FROM

    data = load_data(ExperimentId("mnist"))
    ours = name == "mnist-cnn"
    keras.utils.set_random_seed(seed)
    if ours:
        keras.config.set_dtype_policy(precision(experiment))
    hp = keras_tuner.HyperParameters()
    hp.values.update(experiment.baseline[0])
    model = build(experiment, data, hp)
    average = WeightAverage(AVERAGED_FROM if ours else None)
    images = passes * len(data.train)
    if ours:
        size = experiment.batch_size
        model.jit_compile = jit_compile(experiment)
        model.steps_per_execution = STEPS_PER_EXECUTION
        arguments = {"x": training_batches(data.train, size, seed, 0)}
        arguments |= {"steps_per_epoch": images // size, "shuffle": False}
    else:
        size = 32
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        train = data.train.scaled()
        arguments = {"x": train.x, "y": train.y, "epochs": passes}
    validation = evaluation_batches(data.validation)
    return _timed(model, arguments, average, validation, size)


def _timed(model, arguments, average, validation, batch_size: int) -> Curve:
    import keras

    class Clock(keras.callbacks.Callback):
        """Validates every `VALIDATED_EVERY` images, and counts the seconds in between."""

        def __init__(self) -> None:
            super().__init__()
            self.curve: Curve = []
            self.batches, self.next = 0, VALIDATED_EVERY

        def on_train_begin(self, logs=None) -> None:
            self.seconds, self.since = 0.0, time.perf_counter()

        def on_train_batch_end(self, batch, logs=None) -> None:
            self.batches = self.params["steps"] * self.epoch + batch + 1
            if self.batches * batch_size < self.next:
                return
            self.seconds += time.perf_counter() - self.since
            average.on_test_begin()
            found = self.model.evaluate(validation, verbose=0, return_dict=True)
            average.on_test_end()
            self.curve.append((round(self.seconds, 3), found["accuracy"]))
            self.next += VALIDATED_EVERY
            self.since = time.perf_counter()

        def on_epoch_begin(self, epoch, logs=None) -> None:
            self.epoch = epoch

    _compile_functions(model, arguments, validation)
    clock = Clock()
    average.set_model(model)
    model.fit(**arguments, verbose=0, callbacks=[average, clock])
    return clock.curve


def _compile_functions(model, arguments, validation) -> None:
    """Run each function once, and take back what that did to the model."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    state = [variable.numpy() for variable in variables]
    once = {**arguments, "epochs": 1}
    if "y" in arguments:
        once |= {"x": arguments["x"][:64], "y": arguments["y"][:64]}
    else:
        once |= {"steps_per_epoch": model.steps_per_execution}
    model.fit(**once, verbose=0)
    model.evaluate(validation, verbose=0)
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


if __name__ == "__main__":
    main()
