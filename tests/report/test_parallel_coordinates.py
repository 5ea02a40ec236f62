"""The parallel coordinates: lines through the hyperparameters, and their colours."""

import pytest
from made_study import RATE, finished_trial
from matplotlib.collections import LineCollection

from mnist_cnn.charts import style
from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.report.parallel_coordinates import parallel_coordinates
from mnist_cnn.report.parameter_axis import parameter_axis

ACCURACY, LOSS = Maximize("val_accuracy"), Minimize("val_loss")


def test_a_line_is_broken_where_its_trial_lacks_a_parameter():
    domains = dict.fromkeys("abcd", RATE)
    whole, broken = dict.fromkeys("abcd", 0.01), {"a": 0.1, "b": 0.1, "d": 0.1}
    trials = [
        finished_trial(n, [value], params=params, domains=domains)
        for n, (value, params) in enumerate([(0.5, whole), (0.4, broken), (0.9, whole)])
    ]
    axes = [parameter_axis(name, trials, {}) for name in domains]
    figure = parallel_coordinates(trials, ACCURACY, axes)
    collections = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    lines = [line[:, 0].tolist() for c in collections for line in c.get_segments()]
    assert sorted(lines) == sorted([[0, 1], [3], [0, 1, 2, 3], [0, 1, 2, 3]])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["a", "b", "c\n(in 2 of 3)", "d"]


@pytest.mark.parametrize(("objective", "best"), [(ACCURACY, 2), (LOSS, 0)], ids=["max", "min"])
def test_better_trials_are_darker_and_drawn_later(objective, best):
    trials = [finished_trial(n, [v], params={"x": 0.01, "y": 0.01}, domains={"x": RATE, "y": RATE})
              for n, v in enumerate([0.1, 0.5, 0.9])]  # fmt: skip
    axes = [parameter_axis(name, trials, {}) for name in "xy"]
    shown = parallel_coordinates(trials, objective, axes).axes[0].collections[1]
    brightness = shown.get_colors()[:, :3].sum(axis=1)
    assert list(brightness) == sorted(brightness, reverse=True)
    assert style.complete(trials, objective)[-1].number == best
