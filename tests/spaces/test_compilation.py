"""Optimizers, schedules and losses, by their hyperparameters."""

import keras
import keras_tuner
import numpy as np
import pytest

from search_spaces.compilation import compiled


def network(training_steps=None, classes=3, **values):
    """A small network that is compiled with the hyperparameters, and these."""
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(5)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
    return compiled(hp, model, classes, training_steps), hp


def rates(steps, **values):
    """The learning rate at each step of a training, and after it."""
    schedule = network(steps, **values)[0].optimizer._learning_rate
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_the_rate_is_constant_unless_the_end_is_known():
    model, hp = network()
    assert "schedule" not in hp.values
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    model, hp = network(100)
    assert hp.values["schedule"] == "constant"  # by default
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_cosine_falls_from_the_rate_to_zero(optimizer):
    peak = {f"{optimizer}_learning_rate": 0.004}
    found = rates(100, schedule="cosine", optimizer=optimizer, **peak)
    assert found[0] == pytest.approx(0.004) and found[100] == pytest.approx(0, abs=1e-9)
    assert found[50] == pytest.approx(0.002) and np.all(np.diff(found) < 0)


def test_one_cycle_rises_to_the_rate_and_falls_to_zero():
    found = rates(100, schedule="one_cycle", adam_learning_rate=0.004)
    assert found[0] == pytest.approx(0.004 / 25) and found.argmax() == 30
    assert found[30] == pytest.approx(0.004) and found[100] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_training_of_hardly_any_steps_has_a_rate(schedule, steps):
    found = rates(steps, schedule=schedule)
    assert np.all(np.isfinite(found)) and found[0] > 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, keras.optimizers.Adam),
        ({"adam_weight_decay": 0.1}, keras.optimizers.AdamW),
        ({"optimizer": "sgd"}, keras.optimizers.SGD),
        ({"optimizer": "sgd", "sgd_weight_decay": 5e-3}, keras.optimizers.SGD),
    ],
)
def test_only_what_is_decayed_shrinks_and_only_kernels_are(values, kind):
    """Without a gradient nothing else moves the weights."""
    model, _ = network(**values)
    optimizer = model.optimizer
    assert type(optimizer) is kind
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    decay = values.get("adam_weight_decay", values.get("sgd_weight_decay", 0))
    for variable in model.trainable_variables:
        expected = decay * float(optimizer.learning_rate) if variable.name == "kernel" else 0
        np.testing.assert_allclose(1 - np.asarray(variable), expected, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.005, 0.05])
def test_smoothed_labels_are_those_of_keras(smoothing):
    model, _ = network(label_smoothing=smoothing)
    labels = np.array([0, 2, 1, 2])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float32)
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(
        keras.ops.one_hot(labels, 3), probabilities
    )
    found = model.compute_loss(y=labels, y_pred=probabilities)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)
