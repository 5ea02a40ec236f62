"""Ways of training: the curves are of the same configurations, and are replayed."""

import numpy as np
import pytest

from benchmarks.budgets import LONG_CURVES, TRAININGS, Recorded, recorded, replay, whole
from benchmarks.comparison import first_time, incumbent
from benchmarks.surrogate import CURVES, read

FIRST_RANDOM = 3  # those before were the defaults and the baselines of their time


def configurations(way):
    """The parameters of the random configurations of a table, by number."""
    records = [record for record in read(TRAININGS[way]) if not record["repeat"]]
    assert max(len(record["val_accuracy"]) for record in records) == int(way.split()[0])
    return {r["number"]: r["params"] for r in records if r["number"] >= FIRST_RANDOM}


def test_all_tables_are_of_the_same_random_configurations():
    short, long, averaged = map(configurations, TRAININGS)
    assert list(averaged) == list(range(FIRST_RANDOM, FIRST_RANDOM + len(averaged)))
    assert list(long) == sorted(short)[: len(long)]  # none was chosen
    for one, other in ((short, long), (short, averaged), (long, averaged)):
        shared = one.keys() & other.keys()
        assert len(shared) > 60
        assert all(one[number] == other[number] for number in shared)


def test_an_epoch_takes_as_long_in_every_way():
    short, long, averaged = recorded().values()
    assert short.shape[1:] == (16,) and long.shape[1:] == averaged.shape[1:] == (32,)
    assert len(short) == len(long) == len(averaged) > 60
    assert len(whole(read(LONG_CURVES)).keys() & whole(read(CURVES)).keys()) > 60
    assert np.array_equal(short[:, 8:], long[:, 16:24])
    assert np.array_equal(long[:, 16:], averaged[:, 16:])
    assert not np.array_equal(long[:, :16], averaged[:, :16])


def test_a_configuration_that_ended_early_is_left_out():
    curves = {1: [0.1, 0.2], 2: [0.1], 3: [0.3, 0.4]}
    records = [{"number": n, "repeat": 0, "val_accuracy": curve} for n, curve in curves.items()]
    assert sorted(whole([*records, records[0] | {"repeat": 1, "number": 4}])) == [1, 3]


def test_a_configuration_has_one_curve_and_another_seed_another():
    curves = np.arange(40.0).reshape(10, 4)
    first = Recorded(curves, seed=0)
    drawn = {place: first.expected({"filters": place})[0] for place in range(40)}
    assert len(set(drawn.values())) > 5
    assert all(first.expected({"filters": place})[0] == drawn[place] for place in drawn)
    other = Recorded(curves, seed=1)
    assert any(other.expected({"filters": place})[0] != drawn[place] for place in drawn)


def test_a_replayed_search_reports_what_was_recorded():
    # Two epochs of a second each, at 2 and at 1 % of errors.
    curves = np.log10([[0.02, 0.01, 1.0, 1.0]])
    outcome = replay(curves, "random", seconds=4.0, seed=0)
    assert first_time(outcome.reported, 0.98) == pytest.approx(1.5)  # after half a second to begin
    assert first_time(outcome.reported, 0.99) == pytest.approx(2.5)
    assert first_time(outcome.reported, 0.995) == float("inf")
    errors = incumbent(outcome.reported, np.array([1.0, 2.0, 3.0]))
    assert errors == pytest.approx([100, 2, 1])
