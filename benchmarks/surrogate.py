"""Learning curves for any configuration, by a regression on the recorded ones.

Recorded curves (see curves.py), such as benchmarks/curves.jsonl.gz, are learned by a regression
from a configuration's parameters to the error and the seconds of every epoch. What a training's
seed adds is known from curves of one configuration on two seeds.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CURVES = Path(__file__).parent / "curves.jsonl.gz"


@dataclass(frozen=True)
class Surrogate:
    """Configurations to curves. `names` are the parameters, in the order of the regression's input.

    levels: of a parameter in words its choices. luck: what a seed adds, (n, 2 * epochs): log10 of
    the error, then log10 of the seconds, of every epoch. correlation: Spearman's, of the last
    epoch's error with its prediction for configurations that the regression had not seen; so_far:
    with the error after each epoch.
    """

    names: list[str]
    levels: dict[str, list[Any]]
    regression: Any
    luck: NDArray[np.float64]
    correlation: float
    so_far: NDArray[np.float64]
    curves: int

    def expected(self, params: dict[str, Any]) -> NDArray[np.float64]:
        """log10 of error and seconds of each epoch, (2 * epochs,)."""
        row = encode(params, self.names, self.levels)[np.newaxis].astype(np.float32)
        # As `regression.predict`, which is made for many rows, and slow with one.
        trees = [tree.tree_.predict(row)[0, :, 0] for tree in self.regression.estimators_]
        return np.asarray(np.mean(trees, axis=0))


def encode(
    params: dict[str, Any], names: list[str], levels: dict[str, list[Any]]
) -> NDArray[np.float64]:
    """A row of numbers: learning rates as logarithms, choices one-hot, -1 for what is not there."""
    row: list[float] = []
    for name in names:
        value = params.get(name)
        if name in levels:
            row += [float(value == level) for level in levels[name]]
        elif value is None:
            row.append(-1.0)
        else:
            row.append(np.log10(value) + 5 if "rate" in name else float(value))
    return np.array(row)


def read(file: Path) -> list[dict[str, Any]]:
    """What curves.py has written, compressed."""
    with gzip.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


def learn(file: Path) -> Surrogate:
    """Fit the regression to the curves of `file`."""
    from scipy.stats import spearmanr
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import cross_val_predict

    records = read(file)
    # A loss that became not a number ends a curve; such a configuration is left out.
    length = max(len(record["val_accuracy"]) for record in records)
    records = [record for record in records if len(record["val_accuracy"]) == length]
    first = {record["number"]: record for record in records if not record["repeat"]}
    params = [record["params"] for record in first.values()]
    names = sorted({name for one in params for name in one})
    values = {name: {one[name] for one in params if name in one} for name in names}
    levels = {
        name: sorted(found)
        for name, found in values.items()
        if any(isinstance(value, str) for value in found)
    }
    x = np.array([encode(one, names, levels) for one in params])
    y = np.array([logarithms(record) for record in first.values()])
    regression = ExtraTreesRegressor(60, max_features=0.5, min_samples_leaf=2, random_state=0)
    unseen = cross_val_predict(regression, x, y, cv=min(20, len(x)))
    last = y[:, length - 1]
    correlation = float(spearmanr(unseen[:, length - 1], last).statistic)
    so_far = np.array([spearmanr(y[:, epoch], last).statistic for epoch in range(length)])
    # The difference of two curves has twice the variance of one.
    apart = np.array(
        [
            (logarithms(record) - logarithms(first[record["number"]])) / np.sqrt(2)
            for record in records
            if record["repeat"]
        ]
    )
    luck = np.concatenate([apart, -apart])
    return Surrogate(names, levels, regression.fit(x, y), luck, correlation, so_far, len(x))


def logarithms(record: dict[str, Any]) -> NDArray[np.float64]:
    """log10 of a recorded curve's errors, of at least 0.01 %, and of its seconds."""
    errors = np.maximum(1 - np.array(record["val_accuracy"]), 1e-4)
    return np.log10(np.concatenate([errors, record["cpu_seconds"]]))
