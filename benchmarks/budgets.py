"""How a trial should train: the same configurations on the same seeds, trained in several ways.

    .venv/bin/python benchmarks/budgets.py [--seeds 300] [--seconds 300]

curves_8.jsonl.gz has trainings of 8 epochs, curves_16.jsonl.gz of 16: the learning rate rises in a
quarter of either and falls to zero at its end, and the weights are validated as they are.
curves.jsonl.gz has trainings of 16 epochs as mnist_cnn/training/ trains now: the rise is an
eighth, and the average of the weights is validated.

Random searches, as searchers.py makes them, are replayed on the configurations that all three have.
Each trial has the curve of a recorded one, drawn by chance, so there is no regression in between,
and an epoch takes the seconds that it took in curves_16.jsonl.gz. Prints a table.
"""

import argparse
import multiprocessing
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.comparison import THRESHOLDS, incumbent, typical_time  # noqa: E402
from benchmarks.searchers import Outcome, search  # noqa: E402
from benchmarks.surrogate import CURVES, logarithms, read  # noqa: E402

LONG_CURVES = CURVES.with_name("curves_16.jsonl.gz")
TRAININGS = {
    "8 epochs": CURVES.with_name("curves_8.jsonl.gz"),
    "16 epochs": LONG_CURVES,
    "16 epochs, averaged": CURVES,
}
SEARCHERS = (
    "random",
    "random, 1 of 3 screened at epoch 1",
    "random, 1 of 4 screened at epoch 1",
    "random, 1 of 4 screened at epoch 2",
)


@dataclass(frozen=True)
class Recorded:
    """What benchmarks.surrogate.Surrogate is to a search: configurations to curves.

    curves: (n, 2 * epochs), log10 of error and seconds of each epoch. seed: of which configuration
    has which.
    """

    curves: NDArray[np.float64]
    seed: int

    @property
    def luck(self) -> NDArray[np.float64]:
        """None: it is in the recorded curves."""
        return np.zeros_like(self.curves[:1])

    def expected(self, params: dict[str, Any]) -> NDArray[np.float64]:
        """A recorded curve, always the same one for the same parameters."""
        random = Random(f"{self.seed} {sorted(params.items())}")
        return self.curves[random.randrange(len(self.curves))]


def replay(curves: NDArray[np.float64], searcher: str, seconds: float, seed: int) -> Outcome:
    """One search, in which curves are drawn anew."""
    return search(Recorded(curves, seed), searcher, seconds, baselines=False, seed=seed)


def recorded() -> dict[str, NDArray[np.float64]]:
    """By the way of training, the curves of the configurations that were trained in all of them."""
    tables = {way: whole(read(file)) for way, file in TRAININGS.items()}
    numbers = sorted(set.intersection(*map(set, tables.values())))
    seconds = {record["number"]: record["cpu_seconds"] for record in read(LONG_CURVES)}
    found = {}
    for way, table in tables.items():
        records = [table[number] for number in numbers]
        epochs = len(records[0]["val_accuracy"])
        timed = [r | {"cpu_seconds": seconds[r["number"]][:epochs]} for r in records]
        found[way] = np.array([logarithms(record) for record in timed])
    return found


def whole(records: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """By their number, those that did not end early, as where the loss became not a number."""
    epochs = max(len(record["val_accuracy"]) for record in records)
    return {
        record["number"]: record
        for record in records
        if not record["repeat"] and len(record["val_accuracy"]) == epochs
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=300)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    moments = options.seconds * np.array([0.2, 0.4, 1])
    titles = [f"error after {moment:.0f} s, %" for moment in moments]
    titles += [f"s to {100 * threshold:.1f} %" for threshold in THRESHOLDS]
    print(f"| training | searcher | {' | '.join(titles)} |\n{'|---' * (2 + len(titles))}|")
    with multiprocessing.get_context("fork").Pool() as pool:
        for way, curves in recorded().items():
            for name in SEARCHERS:
                one = partial(replay, curves, name, options.seconds)
                runs = [outcome.reported for outcome in pool.map(one, range(options.seeds))]
                errors = np.array([incumbent(rows, moments) for rows in runs])
                spread = errors.std(axis=0) / options.seeds**0.5
                cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(errors.mean(0), spread, strict=True)]
                cells += [typical_time(runs, threshold) for threshold in THRESHOLDS]
                print(f"| {way} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
