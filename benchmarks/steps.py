"""The training step: how fast it is, and whether its precision costs accuracy.

    .venv/bin/python benchmarks/steps.py speed [--repeat 3]
    .venv/bin/python benchmarks/steps.py accuracy [--seeds 8] [--epochs 16] FILE

`speed` trains two networks of search_spaces/cnn.py with plain `fit` and Keras's defaults, and as
this project does, alternately, and prints images per second of the whole machine: plain `fit` has
it all, this project its usual number of workers. The rate counts two floating-point operations for
each multiply-accumulate, three times over for forward and backward; beside it stands what a matrix
product of the same precision reaches in one thread.

`accuracy` trains one network in mixed_bfloat16 and in float32 on the same seeds and writes each
pair's validation accuracy, then the mean difference and its 95 % interval (Student's t).
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

IMAGES = 12_288
PRECISIONS = ("mixed_bfloat16", "float32")


def networks() -> dict[str, dict[str, object]]:
    """A plain network, and the one that tuning by hand found."""
    from experiments.mnist import experiment

    plain = {"blocks": 2, "filters_0": 32, "filters_1": 64, "dense": 128, "optimizer": "adam"}
    _, normalised = experiment.baseline
    return {"plain": plain, "doubled, normalised, distorted": normalised}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    verbs.add_parser("speed").add_argument("--repeat", type=int, default=3)
    verb = verbs.add_parser("accuracy")
    verb.add_argument("--seeds", type=int, default=8)
    verb.add_argument("--epochs", type=int, default=16)
    verb.add_argument("file", type=Path)
    options = parser.parse_args()
    if options.verb == "speed":
        speed(options.repeat)
    else:
        accuracy(options.seeds, options.epochs, options.file)


def speed(repeat: int) -> None:
    """Print the table of images per second."""
    cores, workers = machine.cores(), machine.default_cpu_workers()
    threads = cores // workers
    peaks = [in_processes(1, matrix_product, precision) for precision in ("float32", "bfloat16")]
    print(f"matrix product, one thread: float32 {peaks[0]:.0f}, bfloat16 {peaks[1]:.0f} GFLOP/s\n")
    print("| network | plain fit, images/s | ours, images/s | ratio | ours, GFLOP/s a thread |")
    print("|---|---|---|---|---|")
    for name, values in networks().items():
        plain, ours = [], []
        for _ in range(repeat):  # alternately, so that other work on the machine disturbs both
            plain.append(in_processes(1, keras_defaults, values, threads=cores))
            ours.append(in_processes(workers, as_here, values, threads=threads))
        ratios = [b / a for a, b in zip(plain, ours, strict=True)]
        rate = 6 * multiply_accumulates(values) * statistics.median(ours) / 1e9
        rate /= workers * threads
        print(
            f"| {name} | {statistics.median(plain):.0f} | {statistics.median(ours):.0f} "
            f"| {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) "
            f"| {rate:.0f} |",
            flush=True,
        )


def in_processes(count: int, function, *arguments, threads: int = 1) -> float:
    """The sum of what `function` returns in `count` processes at once, each with its threads."""
    os.environ.update(machine.threads_environment(threads), TF_CPP_MIN_LOG_LEVEL="3")
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, _share, [context.Barrier(count)]) as pool:
        return sum(pool.starmap(function, [arguments] * count, chunksize=1))


def _share(barrier) -> None:
    global together
    together = barrier


def multiply_accumulates(values) -> int:
    """What one image costs in the network's forward pass."""
    return int(in_processes(1, _multiply_accumulates, values))


def _multiply_accumulates(values) -> int:
    from mnist_cnn.training.architecture import multiply_accumulates

    return multiply_accumulates(model_of(values))


def matrix_product(precision: str) -> float:
    """GFLOP/s of products of two 1024x1024 matrices, one after the other."""
    import tensorflow as tf

    size, count = 1024, 40
    factor = tf.cast(tf.random.normal((size, size)) / size**0.5, precision)  # keeps the scale

    @tf.function
    def products():
        product = factor
        for _ in range(count):
            product = tf.matmul(product, factor)
        return product

    products().numpy()
    started = time.perf_counter()
    products().numpy()
    return count * 2 * size**3 / (time.perf_counter() - started) / 1e9


def model_of(values):
    """The network, compiled by its search space."""
    import keras_tuner

    from experiments.mnist import experiment
    from mnist_cnn.training.build import build
    from mnist_cnn.training.data import load_data

    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return build(experiment, load_data(ExperimentId("mnist")), hp)


def keras_defaults(values) -> float:
    """Images per second of the second of two short epochs under plain `fit`."""
    from mnist_cnn.training.data import load_data

    images = load_data(ExperimentId("mnist")).train[slice(IMAGES)].scaled()
    return second_epoch(model_of(values), x=images.x, y=images.y)


def as_here(values) -> float:
    """The same as this project trains."""
    import keras

    from experiments.mnist import experiment
    from mnist_cnn.training.backend import jit_compile, precision
    from mnist_cnn.training.batches import STEPS_PER_EXECUTION, training_batches
    from mnist_cnn.training.data import load_data

    keras.config.set_dtype_policy(precision(experiment))
    model = model_of(values)
    model.jit_compile = jit_compile(experiment)
    model.steps_per_execution = STEPS_PER_EXECUTION
    size = experiment.batch_size
    data = training_batches(load_data(ExperimentId("mnist")).train, size, 0, 0)
    return second_epoch(model, x=data, steps_per_epoch=IMAGES // size, shuffle=False)


def second_epoch(model, **data) -> float:
    """Images per second, without the first epoch's compilation."""
    import keras

    started: list[float] = []

    def begin(epoch: int, logs=None) -> None:
        together.wait(300)  # or the first to be ready would have the machine for itself
        started.append(time.time())

    clock = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    model.fit(**data, epochs=2, verbose=0, callbacks=[clock])
    return IMAGES / (time.time() - started[1])


def accuracy(seeds: int, epochs: int, file: Path) -> None:
    """Append a pair to `file` for each seed that has none, then print what they say."""
    os.environ.update(machine.threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    import keras_tuner
    from scipy import stats

    from benchmarks.curves import curve

    _, normalised = networks().values()
    lines = map(json.loads, file.read_text().splitlines()) if file.exists() else []
    pairs = {line["seed"]: line for line in lines if line["epochs"] == epochs}
    for seed in sorted(set(range(seeds)) - pairs.keys()):
        pairs[seed] = {"seed": seed, "epochs": epochs}
        for precision in PRECISIONS:
            hp = keras_tuner.HyperParameters()
            hp.values.update(normalised)
            _, found = curve(hp, epochs, seed, precision)
            pairs[seed][precision] = found["val_accuracy"][-1]
        with file.open("a") as opened:
            opened.write(json.dumps(pairs[seed]) + "\n")
    ours, plain = ([pair[precision] for pair in pairs.values()] for precision in PRECISIONS)
    differences = [100 * (a - b) for a, b in zip(ours, plain, strict=True)]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    half = stats.t.ppf(0.975, len(differences) - 1) * error
    print(f"mixed_bfloat16 {100 * statistics.fmean(ours):.3f} %")
    print(f"float32        {100 * statistics.fmean(plain):.3f} %")
    print(
        f"difference     {mean:+.3f} points, 95 % interval {mean - half:+.3f} to {mean + half:+.3f}"
    )


if __name__ == "__main__":
    main()
