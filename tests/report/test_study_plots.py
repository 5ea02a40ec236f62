"""The Pareto front."""

import math

import pytest
from made_study import (
    finished_trial,
)

from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.report import study_plots


@pytest.mark.parametrize(
    ("objectives", "front"),
    [
        ((Maximize("a"), Minimize("b")), [0, 2, 3]),
        ((Minimize("a"), Minimize("b")), [0]),
        ((Maximize("a"), Maximize("b")), [4, 3]),
        ((Minimize("a"), Maximize("b"), Minimize("c")), [0, 1, 4]),
    ],
)
def test_the_front_has_the_trials_that_no_other_dominates(objectives, front):
    points = [(1, 1), (2, 5), (3, 2), (5, 4), (4, 6), (math.inf, 1)]
    trials = [finished_trial(n, [*point, 0][: len(objectives)]) for n, point in enumerate(points)]
    if objectives[1].direction == "minimize" and objectives[0].direction == "maximize":
        trials = trials[:5]
    (axes,) = study_plots.pareto_front(trials, objectives).axes
    labels = [int(text.get_text()) for text in axes.texts]
    assert sorted(labels) == sorted(front)
    assert "more is better" in axes.get_xlabel() + axes.get_ylabel() or front == [0]
    assert ("first two of 3" in axes.get_title()) == (len(objectives) == 3)
