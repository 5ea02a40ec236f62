"""The axis of a hyperparameter: the positions of trials, and the ticks."""

import pytest
from made_study import RATE, finished_trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mnist_cnn.report.parameter_axis import parameter_axis


def trials_with(values, name="x", domain=RATE):
    return [
        finished_trial(n, [n / 10], params={name: value}, domains={name: domain})
        for n, value in enumerate(values)
    ]


def test_a_logarithmic_parameter_has_a_logarithmic_axis():
    axis = parameter_axis("x", trials_with([1e-4, 1e-2, 1e-1]), {})
    assert list(axis.positions.values()) == pytest.approx([0, 2 / 3, 1])
    assert {label: place for place, label in axis.ticks} == pytest.approx(
        {"0.0001": 0, "0.001": 1 / 3, "0.01": 2 / 3, "0.1": 1}
    )


def test_choices_are_evenly_spaced_in_their_order_and_true_differs_from_1():
    domain = CategoricalDistribution((True, 1, "a", None))
    axis = parameter_axis("x", trials_with(["a", None], domain=domain), {})
    assert [label for _, label in axis.ticks] == ["True", "1", "a", "None"]
    assert [place for place, _ in axis.ticks] == [0.125, 0.375, 0.625, 0.875]
    assert list(axis.positions.values()) == [0.625, 0.875]


def test_an_index_into_a_grid_is_shown_as_its_value_and_rounding_does_not_matter():
    grid = trials_with([2, 0, 1], domain=IntDistribution(0, 3))
    axis = parameter_axis("x", grid, {0: {"x": 128}, 1: {"x": 32}, 2: {"x": 64}})
    assert [label for _, label in axis.ticks] == ["32", "64", "128"]
    assert axis.positions[1] < axis.positions[2] < axis.positions[0]
    tenths = trials_with([0.3], domain=FloatDistribution(0, 0.5, step=0.1))
    axis = parameter_axis("x", tenths, {0: {"x": 0.30000000000000004}})
    assert axis.positions[0] == pytest.approx(0.6) and len(axis.ticks) == 6


def test_a_conditional_parameter_is_found_by_its_name_without_conditions():
    name = "units[model=mlp]"
    grid = trials_with([1], name=name, domain=IntDistribution(0, 3))
    axis = parameter_axis(name, grid, {0: {"units": 64, "model": "mlp"}})
    assert [label for _, label in axis.ticks] == ["64"]


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 1, False), (1e-9, 1, True), (0.5, 0.6, True), (2, 2, False), (1, 4000, True)],
)
def test_an_axis_has_a_few_ticks_within_its_range(low, high, log):
    domain = FloatDistribution(low, high, log=log)
    ticks = parameter_axis("x", trials_with([low, high], domain=domain), {}).ticks
    assert (2 if low < high else 1) <= len(ticks) <= 8
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)
