"""The smallest networks of search_spaces/tiny.py that classify 99.0 and 99.5 % of MNIST.

    .venv/bin/python benchmarks/small.py choose [--epochs 40]
    .venv/bin/python benchmarks/small.py train NETWORK [--epochs 40] [--seeds 5]
    .venv/bin/python benchmarks/small.py test

`choose` trains each of `NETWORKS` once, on seed 0, and prints what it reaches on the 5,000
validation images. `train` trains one of them on seeds that chose nothing, and keeps the models.
`test` scores them on the 10,000 test images, which nothing else here reads, and prints the mean
over the seeds. A run has one thread, float32 and 55,000 images; its last weights count, averaged as
in a search. Several `train` may run side by side, with the same --step and a --first of 0, 1, ...

Results are in benchmarks/results/small/. Each subcommand continues where it was interrupted.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks/results/small"
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers.machine import threads_environment  # noqa: E402

FIRST_SEED = 1  # seed 0 chose
# The learning rates are higher than those that the space samples. Networks as small as these, with
# a rate that falls to zero, can take it.
COMMON = {
    "stages": 3,
    "shift_pixels": 1,
    "rotation_degrees": 10,
    "activation": "silu",
    "normalisation": "batch",
    "dropout": 0.0,
    "schedule": "one_cycle",
    "separable_1": True,
    "separable_2": True,
    "depth_1": 2,
}
# By the number of parameters.
NETWORKS = {
    "1,336": {"filters_0": 6, "filters_1": 6, "filters_2": 6, "depth_2": 2, "narrowed": False}
    | {"adam_learning_rate": 0.03},
    "1,466": {"filters_0": 6, "filters_1": 8, "filters_2": 6, "depth_2": 2, "narrowed": True}
    | {"adam_learning_rate": 0.03},
    "5,786": {"filters_0": 16, "filters_1": 16, "filters_2": 16, "depth_2": 2, "narrowed": False}
    | {"adam_learning_rate": 0.015},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("choose")
    verb.add_argument("--epochs", type=int, default=40)
    verb.set_defaults(call=choose)
    verb = verbs.add_parser("train")
    verb.add_argument("network", choices=NETWORKS)
    verb.add_argument("--epochs", type=int, default=40)
    verb.add_argument("--seeds", type=int, default=5)
    verb.add_argument("--first", type=int, default=0)
    verb.add_argument("--step", type=int, default=1)
    verb.set_defaults(call=train_seeds)
    verb = verbs.add_parser("test")
    verb.set_defaults(call=test)
    options = parser.parse_args()
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    options.call(options)


def choose(options: argparse.Namespace) -> None:
    """Train each network once."""
    for name in NETWORKS:
        trained(name, 0, options.epochs)


def train_seeds(options: argparse.Namespace) -> None:
    """Train a network on seeds that chose nothing."""
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    for seed in seeds[options.first :: options.step]:
        trained(options.network, seed, options.epochs)


def trained(name: str, seed: int, epochs: int) -> None:
    """Train a network, and keep its model and its validation scores, unless they exist."""
    file = FOLDER / f"{name.replace(',', '')}-{epochs}-{seed}.json"
    if file.exists():
        print(file.read_text())
        return
    from dataclasses import replace

    import keras
    import keras_tuner

    from experiments.tiny import experiment as tiny_experiment
    from mnist_cnn.training import architecture
    from mnist_cnn.training.build import build
    from mnist_cnn.training.checkpoint import Checkpoint
    from mnist_cnn.training.data import load_data
    from mnist_cnn.training.fit import Training

    FOLDER.mkdir(parents=True, exist_ok=True)
    experiment = replace(tiny_experiment, epochs=epochs, patience=epochs, epoch_images=None)
    data = load_data(ExperimentId("tiny"))
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    hp.values.update(COMMON | NETWORKS[name])
    model = build(experiment, data, hp)
    path = file.with_suffix(".npz")  # an interrupted run resumes from it
    checkpoint = Checkpoint(path, experiment.objectives[0], {"epochs": epochs}, keep="last")
    started = time.process_time()
    Training(
        experiment=experiment,
        data=data,
        epochs=epochs,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=lambda epoch, metrics: print(f"{name} seed {seed} {epoch}: {metrics}", flush=True),
        on_anew=print,
    ).train(model, hp)
    plain = build(experiment, data, hp, training=False)
    plain.set_weights(checkpoint.kept_weights)
    plain.save(file.with_suffix(".keras"))
    found = {
        "network": name,
        "seed": seed,
        "epochs": epochs,
        "parameters": plain.count_params(),
        "multiply_accumulates": architecture.multiply_accumulates(plain),
        "val_accuracy": checkpoint.kept_metrics["val_accuracy"],
        "cpu_seconds": round(time.process_time() - started),
    }
    file.write_text(json.dumps(found))
    path.unlink()
    print(json.dumps(found), flush=True)


def test(options: argparse.Namespace) -> None:
    """Print the table over the seeds that chose nothing, with the accuracy of the test images."""
    import keras

    from mnist_cnn.datasets import mnist

    images = mnist().test().scaled()
    by_network: dict[tuple[int, int], list[dict]] = {}
    for file in sorted(FOLDER.glob("*.json")):
        found = json.loads(file.read_text())
        if found["seed"] < FIRST_SEED:
            continue
        predicted = keras.models.load_model(file.with_suffix(".keras")).predict(images.x, verbose=0)
        found["test"] = float((predicted.argmax(axis=1) == images.y).mean())
        by_network.setdefault((found["parameters"], found["epochs"]), []).append(found)
    print(
        "| parameters | passes | seeds | validation, % | test, % | standard deviation "
        "| least to most | CPU minutes of a run |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for (parameters, epochs), rows in sorted(by_network.items()):
        tests = [100 * row["test"] for row in rows]
        validation = statistics.fmean(100 * row["val_accuracy"] for row in rows)
        deviation = statistics.stdev(tests) if len(tests) > 1 else float("nan")
        minutes = statistics.fmean(row["cpu_seconds"] for row in rows) / 60
        print(
            f"| {parameters:,} | {epochs} | {len(rows)} | {validation:.2f} "
            f"| {statistics.fmean(tests):.3f} | {deviation:.3f} "
            f"| {min(tests):.2f} to {max(tests):.2f} | {minutes:.1f} |"
        )


if __name__ == "__main__":
    main()
