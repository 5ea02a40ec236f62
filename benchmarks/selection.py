"""Which score of a run tells best how accurate its configuration is on other images.

    .venv/bin/python benchmarks/selection.py record [--seeds 2] [--first 0 --step 1] FILE
    .venv/bin/python benchmarks/selection.py table FILE

The configurations are those that `benchmarks/winner.py search` has trained in full. `record` trains
each on 45,000 of MNIST's training images, on some seeds, validates it on 5,000, and scores it on
the other 10,000. It appends one JSON object a line to FILE and continues where FILE ends. Several
may run side by side, each with a file of its own, the same --step and a --first of 0, 1, ...

`table` takes one or more files. For each validated epoch it prints the rank correlation, over the
configurations, of the validation accuracy and of the calibrated loss after it with the accuracy on
the other images of the other seeds. It is the mean over the seeds. MNIST's test images are never
read.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.workers.machine import threads_environment  # noqa: E402

FIRST_SEED = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("record")
    verb.add_argument("--seeds", type=int, default=2)
    verb.add_argument("--first", type=int, default=0)
    verb.add_argument("--step", type=int, default=1)
    verb.add_argument("file", type=Path)
    verb.set_defaults(call=lambda o: record(o.file, o.seeds, o.first, o.step))
    verb = verbs.add_parser("table")
    verb.add_argument("files", type=Path, nargs="+")
    verb.set_defaults(call=lambda o: table(o.files))
    options = parser.parse_args()
    options.call(options)


def configurations() -> dict[str, dict[str, object]]:
    """What the searches trained in full, by search and trial. A configuration is there once."""
    import optuna

    from benchmarks.winner import FOLDER
    from mnist_cnn.study.trials import VALUES

    found: dict[str, dict[str, object]] = {}
    for folder in sorted(FOLDER.glob("search-*")):
        storage = f"sqlite:///{folder}/mlruns/optuna.db"
        study = optuna.load_study(study_name="winner-1", storage=storage)
        for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
            values = trial.user_attrs[VALUES]
            if values not in found.values():
                found[f"{folder.name}/{trial.number}"] = values
    return found


def record(file: Path, seeds: int, first: int, step: int) -> None:
    """Append the curve of each configuration on each seed, and its accuracy on other images."""
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    import keras_tuner

    from benchmarks.curves import curve
    from experiments.mnist import experiment
    from mnist_cnn.datasets import mnist, split
    from mnist_cnn.training.data import Data

    rest, others = split(mnist().train(), fraction=1 / 6, seed=77)
    data = Data(mnist(), *split(rest, fraction=1 / 10, seed=77))
    todo = [(seed, *item) for seed in range(seeds) for item in configurations().items()]
    done = {(line["seed"], line["configuration"]) for line in lines([file])}
    for seed, name, values in todo[first::step]:
        if (seed, name) in done:
            continue
        hp = keras_tuner.HyperParameters()
        hp.values.update(values)
        _, found = curve(hp, experiment.epochs, FIRST_SEED + seed, data=data, others=others)
        with file.open("a") as opened:
            opened.write(json.dumps({"configuration": name, "seed": seed, **found}) + "\n")


def lines(files: list[Path]) -> list[dict]:
    """The records of some files."""
    return [json.loads(line) for f in files if f.exists() for line in f.read_text().splitlines()]


def table(files: list[Path]) -> None:
    """Print how well each score ranks the configurations."""
    from scipy.stats import spearmanr

    records = {(line["configuration"], line["seed"]): line for line in lines(files)}
    seeds = sorted({seed for _, seed in records})
    names = sorted({n for n, _ in records if all((n, seed) in records for seed in seeds)})
    epochs = records[names[0], seeds[0]]["epoch"]
    print(f"{len(names)} configurations, {len(seeds)} seeds")
    print("| epoch | validation accuracy | calibrated loss |")
    print("|--:|--:|--:|")
    accuracies = {
        seed: [_of_others(records, name, seed, seeds) for name in names] for seed in seeds
    }
    for place, epoch in enumerate(epochs):
        found = []
        for score, sign in (("val_accuracy", 1), ("val_calibrated_loss", -1)):
            correlations = []
            for seed in seeds:
                scores = [sign * records[name, seed][score][place] for name in names]
                correlations.append(spearmanr(scores, accuracies[seed]).statistic)
            found.append(statistics.fmean(correlations))
        print(f"| {epoch} | {found[0]:.2f} | {found[1]:.2f} |")


def _of_others(records: dict, name: str, seed: int, seeds: list[int]) -> float:
    """The accuracy of a configuration on the other images, the mean over the other seeds."""
    others = [records[name, other]["others_accuracy"][0] for other in seeds if other != seed]
    return statistics.fmean(others)


if __name__ == "__main__":
    main()
