"""How accurate networks of few parameters get: some of search_spaces/tiny.py, on MNIST.

    .venv/bin/python benchmarks/small.py teach
    .venv/bin/python benchmarks/small.py choose [--epochs 40]
    .venv/bin/python benchmarks/small.py train NETWORK [--epochs 40] [--seeds 5]
    .venv/bin/python benchmarks/small.py test

`teach` trains three large networks. The small ones learn from their probabilities instead of from
the labels (G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network",
2015). `choose` trains each of `NETWORKS` once, on seed 0, and prints what it reaches on the 5,000
validation images. `train` trains one of them on seeds that chose nothing, and keeps the models.
`test` scores them on the 10,000 test images, which nothing else here reads, and prints the mean
over the seeds. A run has one thread, float32 and 55,000 images; its last weights count, averaged as
in a search. Several `train` may run side by side, with the same --step and a --first of 0, 1, ...

Results are in benchmarks/results/small/. `teach` and `train` continue where they were interrupted.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_cnn.experiment import Experiment
    from mnist_cnn.training.data import Data

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks/results/small"
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers.machine import threads_environment  # noqa: E402

FIRST_SEED = 1  # seed 0 chose
TEACHER_SEEDS = (500, 501, 502)  # no student has them
TEACHER_EPOCHS = 70  # 430,000 images, nearly twice as many as in a trial
LOGITS = "logits.npy"  # of the teachers' mean, of shape (55,000, 10)
# Divides the teachers' logits. With 2 and 10 a network of 1,466 parameters learnt less.
TEMPERATURE = 4.0
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
    "1,406": {"filters_0": 8, "filters_1": 6, "filters_2": 6, "depth_2": 2, "narrowed": False}
    | {"adam_learning_rate": 0.03},
    "1,466": {"filters_0": 6, "filters_1": 8, "filters_2": 6, "depth_2": 2, "narrowed": True}
    | {"adam_learning_rate": 0.03},
    "1,476": {"filters_0": 10, "filters_1": 6, "filters_2": 6, "depth_2": 2, "narrowed": False}
    | {"adam_learning_rate": 0.03},
    "5,786": {"filters_0": 16, "filters_1": 16, "filters_2": 16, "depth_2": 2, "narrowed": False}
    | {"adam_learning_rate": 0.015},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("teach")
    verb.set_defaults(call=teach)
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


def teach(options: argparse.Namespace) -> None:
    """Train the teachers, and keep what they say about the training images."""
    import keras
    import numpy as np

    from experiments.mnist import experiment
    from mnist_cnn.project.plan import baselines
    from mnist_cnn.training.data import load_data

    data = load_data(ExperimentId("mnist"))
    by_hand = baselines(experiment)[1]
    logits = []
    for seed in TEACHER_SEEDS:
        name = f"teacher-{seed}"
        fitted(name, experiment, data, by_hand, seed, TEACHER_EPOCHS)
        teacher = keras.models.load_model(FOLDER / f"{name}.keras")
        probabilities = teacher.predict(data.train.scaled().x, batch_size=1000, verbose=0)
        logits.append(np.log(np.maximum(probabilities, 1e-12)))
    np.save(FOLDER / LOGITS, np.mean(logits, axis=0))


def choose(options: argparse.Namespace) -> None:
    """Train each network once."""
    for name in NETWORKS:
        trained(name, 0, options.epochs)


def train_seeds(options: argparse.Namespace) -> None:
    """Train a network on seeds that chose nothing."""
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    for seed in seeds[options.first :: options.step]:
        trained(options.network, seed, options.epochs)


def trained(network: str, seed: int, epochs: int) -> None:
    """Train a network on the teachers' probabilities."""
    from dataclasses import replace

    import numpy as np

    from experiments.tiny import experiment
    from mnist_cnn.training.data import Data, load_data

    if not (FOLDER / LOGITS).exists():
        sys.exit("there are no teachers; type: .venv/bin/python benchmarks/small.py teach")
    softened = np.exp(np.load(FOLDER / LOGITS) / TEMPERATURE)
    softened /= softened.sum(axis=1, keepdims=True)
    data = load_data(ExperimentId("mnist"))
    of_classes = np.eye(data.dataset.classes, dtype=np.float32)
    soft = Data(
        data.dataset,
        replace(data.train, y=softened.astype(np.float32)),
        replace(data.validation, y=of_classes[data.validation.labels]),
    )
    whole = replace(experiment, epoch_images=None)
    values = COMMON | NETWORKS[network]
    fitted(f"{network.replace(',', '')}-{epochs}-{seed}", whole, soft, values, seed, epochs)


def fitted(
    name: str,
    experiment: "Experiment",
    data: "Data",
    values: dict[str, object],
    seed: int,
    epochs: int,
) -> None:
    """Train a model, and keep it and its validation scores, unless they exist."""
    file = FOLDER / f"{name}.json"
    if file.exists():
        print(file.read_text())
        return
    from dataclasses import replace

    import keras
    import keras_tuner

    from mnist_cnn.training import architecture
    from mnist_cnn.training.build import build
    from mnist_cnn.training.checkpoint import Checkpoint
    from mnist_cnn.training.fit import Training

    FOLDER.mkdir(parents=True, exist_ok=True)
    experiment = replace(experiment, epochs=epochs, patience=epochs, screen=None)
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    model = build(experiment, data, hp)
    if data.train.y.ndim == 2:
        model.compile(model.optimizer, "categorical_crossentropy", metrics=["accuracy"])
    path = file.with_suffix(".npz")  # an interrupted run resumes from it
    checkpoint = Checkpoint(path, experiment.objectives[0], {"epochs": epochs}, keep="last")
    started = time.process_time()
    Training(
        experiment=experiment,
        data=data,
        epochs=epochs,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=lambda epoch, metrics: print(f"{name} {epoch}: {metrics}", flush=True),
        on_anew=print,
    ).train(model, hp)
    plain = build(experiment, data, hp, training=False)
    plain.set_weights(checkpoint.kept_weights)
    plain.save(file.with_suffix(".keras"))
    found = {
        "name": name,
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
    for file in sorted(FOLDER.glob("[0-9]*.json")):
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
