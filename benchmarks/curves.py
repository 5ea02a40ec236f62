"""How early a run shows its quality: curves of random configurations of search_spaces/cnn.py.

    .venv/bin/python benchmarks/curves.py record [--first 0 --step 2] [--seconds 3600] FILE
    .venv/bin/python benchmarks/curves.py table FILE

`record` trains random configurations exactly as experiments/mnist.py trains a trial. It appends one
JSON object a line to FILE: `number` (the seed of the configuration), `params` (as Optuna stores
them), `parameters`, `multiply_accumulates`, and of each validated epoch `epoch`, `val_accuracy`,
`val_loss`, `val_calibrated_loss` and `cpu_seconds` since training began. In one thread, CPU seconds
measure the cost whatever else the machine is doing. It continues where FILE ends. Several may run
side by side with the same --step and a --first of 0, 1, ...

`table` prints, for each validated epoch, the rank correlation of the score after it with the best
score of the complete run, which share of the best sixth is in the best third after that epoch, and
the cost of training up to it.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_cnn.datasets import Images
    from mnist_cnn.training.data import Data

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers.machine import threads_environment  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("record")
    verb.add_argument("--first", type=int, default=0)
    verb.add_argument("--step", type=int, default=1)
    verb.add_argument("--seconds", type=float, default=3600)
    verb.add_argument("file", type=Path)
    verb.set_defaults(call=lambda o: record(o.file, o.first, o.step, o.seconds))
    verb = verbs.add_parser("table")
    verb.add_argument("file", type=Path)
    verb.set_defaults(call=lambda options: table(options.file))
    options = parser.parse_args()
    options.call(options)


def record(file: Path, first: int, step: int, seconds: float) -> None:
    """Append configurations `first`, `first + step`, ... to `file` until `seconds` have passed."""
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    end = time.monotonic() + seconds
    written = file.read_text() if file.exists() else ""
    written = written[: written.rfind("\n") + 1]  # a kill may have torn the last line
    file.write_text(written)
    numbers = [json.loads(line)["number"] for line in written.splitlines()]
    number = max((n for n in numbers if n % step == first % step), default=first - step) + step
    while time.monotonic() < end:
        line = json.dumps(configuration(number))
        with file.open("a") as opened:
            opened.write(line + "\n")
        number += step


def configuration(number: int) -> dict[str, object]:
    """Train the random configuration `number` as long as a trial lasts."""
    import optuna

    from experiments.mnist import experiment
    from mnist_cnn.hyperparameters import TrialHyperParameters

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    trial = study.ask()
    size, found = curve(TrialHyperParameters(trial), experiment.epochs, number)
    return {"number": number, **size, "params": trial.params, **found}


def table(file: Path) -> None:
    """Print what the score after each epoch predicts about the complete run."""
    import numpy as np
    from scipy.stats import spearmanr

    records = [json.loads(line) for line in file.read_text().splitlines()]
    # A loss that became not a number ends a curve. Such a configuration is the worst throughout.
    epochs = max((record["epoch"] for record in records), key=len)
    scores = np.array(
        [
            record["val_accuracy"] + [0.0] * (len(epochs) - len(record["epoch"]))
            for record in records
        ]
    )
    best = scores.max(axis=1)
    top = set(np.argsort(-best)[: max(1, len(best) // 6)])
    print(f"{len(records)} configurations")
    print("| epoch | rank correlation | of the best sixth in the best third | CPU seconds |")
    print("|---|---|---|---|")
    for place, epoch in enumerate(epochs):
        rank = spearmanr(scores[:, place], best).statistic
        kept = top & set(np.argsort(-scores[:, place])[: len(best) // 3])
        seconds = [r["cpu_seconds"][place] for r in records if len(r["epoch"]) > place]
        print(f"| {epoch} | {rank:.2f} | {len(kept) / len(top):.0%} | {np.mean(seconds):.1f} |")


def curve(
    hp,
    epochs: int,
    seed: int,
    dtype_policy: str | None = None,
    data: "Data | None" = None,
    others: "Images | None" = None,
):
    """The model's size and its curve over `epochs` epochs.

    The policy and the images are those of experiments/mnist.py if they are None. `others` are
    images to score the model on when it is trained; its accuracy on them is `others_accuracy`.
    """
    import keras

    from experiments.mnist import experiment
    from mnist_cnn.training import architecture
    from mnist_cnn.training.backend import precision
    from mnist_cnn.training.batches import evaluation_batches
    from mnist_cnn.training.build import build
    from mnist_cnn.training.checkpoint import Checkpoint
    from mnist_cnn.training.data import load_data
    from mnist_cnn.training.failure import TrainingFailed
    from mnist_cnn.training.fit import Training

    data = data or load_data(ExperimentId("mnist"))
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(dtype_policy or precision(experiment))
    model = build(experiment, data, hp)
    size = {
        "parameters": model.count_params(),
        "multiply_accumulates": architecture.multiply_accumulates(model),
    }
    scores = ("val_accuracy", "val_loss", "val_calibrated_loss")
    names = ("epoch", *scores, "cpu_seconds")
    found: dict[str, list[float]] = {name: [] for name in names}
    started = time.process_time()

    def on_epoch(epoch, metrics):
        if "val_accuracy" in metrics:
            values = [metrics[name] for name in scores]
            seconds = time.process_time() - started
            for name, value in zip(names, (epoch, *values, seconds), strict=True):
                found[name].append(round(value, 5))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.npz"
        checkpoint = Checkpoint(path, experiment.objectives[0], recipe={})
        with contextlib.suppress(TrainingFailed):  # its curve ends where the loss became NaN
            training = Training(
                experiment=replace(experiment, patience=epochs),
                data=data,
                epochs=epochs,
                seed=seed,
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                on_anew=print,
            )
            training.train(model, hp)
            if others is not None:
                model.set_weights(checkpoint.kept_weights)
                model.evaluate(evaluation_batches(others), verbose=0)
                found["others_accuracy"] = [float(model.get_metrics_result()["accuracy"])]
    return size, found


if __name__ == "__main__":
    main()
