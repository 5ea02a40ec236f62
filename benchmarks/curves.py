"""Learning curves of configurations of search_spaces/cnn.py, to compare searchers on.

    .venv/bin/python benchmarks/curves.py --first 0 --step 2 --seconds 3600 FILE

Each configuration is trained exactly as experiments/mnist.py trains a trial, or with --epochs for
longer or shorter: what its baselines are at the time first, then random ones. One JSON object a
line: `number` (seed of the configuration), `repeat` (0; others train what FILE has under that
number on other seeds, to tell luck from merit), `params` (as Optuna stores them), `parameters`,
`multiply_accumulates`, and of each epoch `val_accuracy`, `val_loss` and `cpu_seconds`. A run in one
thread costs what its CPU seconds say, whatever else the machine is doing.

It goes on where FILE ends; run it several times side by side with the same --step and a
--first of 0, 1, ...
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
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.workers.machine import threads_environment  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    record(**vars(options))


def record(
    file: Path, first: int, step: int, repeat: int, seconds: float, epochs: int | None
) -> None:
    """Append configurations `first`, `first + step`, ... to `file` until `seconds` have passed."""
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    end = time.monotonic() + seconds
    written = file.read_text() if file.exists() else ""
    written = written[: written.rfind("\n") + 1]  # a kill may have torn the last line
    file.write_text(written)
    records = [json.loads(line) for line in written.splitlines()]
    trained = {record["number"]: record["params"] for record in records}
    done = [record["number"] for record in records if record["repeat"] == repeat]
    number = max(done, default=first - step) + step
    while time.monotonic() < end:
        line = json.dumps(configuration(number, repeat, trained.get(number), epochs))
        with file.open("a") as opened:
            opened.write(line + "\n")
        number += step


def configuration(
    number: int, repeat: int, params: dict[str, Any] | None, epochs: int | None
) -> dict[str, object]:
    """Train configuration `number`, which has `params` or is made now.

    For so many epochs; if None, as long as a trial lasts.
    """
    import optuna

    from experiments.mnist import experiment
    from mnist_cnn.hyperparameters import TrialHyperParameters

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    if params or number < len(experiment.baseline):
        study.enqueue_trial(params or experiment.baseline[number])
    trial = study.ask()
    hp = TrialHyperParameters(trial)
    size, found = curve(hp, epochs or experiment.epochs, number + 1_000_000 * repeat)
    return {"number": number, "repeat": repeat, **size, "params": trial.params, **found}


def curve(hp, epochs: int, seed: int, dtype_policy: str | None = None):
    """The model's size and its curve over `epochs` epochs; the experiment's policy if None."""
    import keras

    from experiments.mnist import experiment
    from mnist_cnn.training import architecture
    from mnist_cnn.training.backend import precision
    from mnist_cnn.training.build import build
    from mnist_cnn.training.checkpoint import Checkpoint
    from mnist_cnn.training.data import load_data
    from mnist_cnn.training.failure import TrainingFailed
    from mnist_cnn.training.fit import train

    data = load_data(ExperimentId("mnist"))
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(dtype_policy or precision(experiment))
    model = build(experiment, data.dataset, hp)
    size = {
        "parameters": model.count_params(),
        "multiply_accumulates": architecture.multiply_accumulates(model),
    }
    names = ("val_accuracy", "val_loss", "cpu_seconds")
    found: dict[str, list[float]] = {name: [] for name in names}
    started = time.process_time()

    def on_epoch(epoch, metrics):
        nonlocal started
        now = time.process_time()
        for name, value in zip(
            names, (metrics["val_accuracy"], metrics["val_loss"], now - started), strict=True
        ):
            found[name].append(round(value, 5))
        started = now

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.npz"
        checkpoint = Checkpoint(path, experiment.objectives[0], recipe={})
        with contextlib.suppress(TrainingFailed):  # its curve ends where the loss became NaN
            train(
                model,
                hp,
                data,
                experiment=replace(experiment, patience=epochs),
                epochs=epochs,
                seed=seed,
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                on_anew=print,
            )
    return size, found


if __name__ == "__main__":
    main()
