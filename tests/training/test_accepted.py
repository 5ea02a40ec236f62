"""Which configurations of an earlier study a space accepts after an edit."""

import pytest

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.training.preflight import accepted

SPACE = """
import keras
import keras_tuner


def dense(hp):
    width = hp.Int("width", 8, 32)
    rate = hp.Float("rate", 0.0, 0.5) if hp.Boolean("dropout", default=True) else 0.0
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(width)]
    layers += [keras.layers.Dropout(rate), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Tuned(keras_tuner.HyperModel):
    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Int("batch", 10, 50), **kwargs)
"""


@pytest.fixture
def edited(small):
    """Writes the experiment with a space of `SPACE`, and returns what it accepts."""
    (small.root / "search_spaces/edited.py").write_text(SPACE)

    def accept(*configurations, space="dense", most=9, **fields):
        given = "".join(f", {name}={value}" for name, value in fields.items())
        small.write(f"space={space}{given}", module="search_spaces.edited")
        return accepted(ExperimentId("small"), configurations, most)

    return accept


def test_new_hyperparameters_get_their_default_and_old_ones_are_dropped(edited):
    (values,) = edited({"width": 16, "rate": 0.25, "depth": 3})
    assert values == {"width": 16, "dropout": True, "rate": 0.25}


def test_a_hyperparameter_that_is_not_active_is_dropped_too(edited):
    assert edited({"width": 16, "dropout": False, "rate": 0.25}) == [
        {"width": 16, "dropout": False}
    ]


def test_what_is_outside_a_range_is_left_out(edited):
    found = edited({"width": 64}, {"width": 16, "rate": 0.9}, {"width": "wide"}, {"width": 32})
    assert [values["width"] for values in found] == [32]


def test_two_that_have_become_the_same_are_tried_once(edited):
    assert len(edited({"width": 16, "depth": 1}, {"width": 16, "depth": 2})) == 1


def test_the_next_best_take_the_place_of_those_that_are_left_out(edited):
    found = edited({"width": 64}, {"width": 32}, {"width": 16}, {"width": 8}, most=2)
    assert [values["width"] for values in found] == [32, 16]


def test_a_baseline_is_not_tried_twice(edited):
    default = {"width": 8, "dropout": True, "rate": 0.0}
    found = edited(default, {"width": 9, "dropout": False}, baseline=({}, {"width": 9}))
    assert found == [{"width": 9, "dropout": False}]


def test_what_a_fit_of_its_own_declared_is_kept(edited):
    (values,) = edited({"width": 16, "batch": 20}, space="Tuned()")
    assert values["batch"] == 20


def test_a_sampler_that_tries_everything_needs_no_beginning(edited):
    grid = "partial(optuna.samplers.GridSampler, {'width': [8, 16]})"
    assert edited({"width": 16}, sampler=grid) == []
