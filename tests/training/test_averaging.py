"""The average of the weights: what it is made of, and who sees it."""

from math import comb

import keras
import numpy as np
import pytest
from arrays import assert_same_arrays
from keras import layers

from mnist_cnn.training.averaging import WeightAverage


class Counting(layers.Layer):
    """Has an integer among its weights, as layers that count have."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls.assign_add(1)
        return x


class Recorder(keras.callbacks.Callback):
    """The weights after every training step, and those that each validation began with."""

    def __init__(self):
        super().__init__()
        self.trained, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.trained.append(self.model.get_weights())

    def on_test_begin(self, logs=None):
        self.validated.append(self.model.get_weights())


@pytest.fixture
def model():
    return small(keras.optimizers.SGD(0.1))


def small(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(), Counting()])
    model.add(layers.Dense(1))
    model.compile(optimizer, "mean_squared_error")
    return model


def fit(model, average, *, epochs):
    """Four steps an epoch; what the recorder behind the average has seen."""
    random, recorder = np.random.default_rng(0), Recorder()
    x, y = random.normal(size=(8, 3)), random.normal(size=(8, 1))
    history = model.fit(
        x,
        y,
        batch_size=2,
        epochs=epochs,
        shuffle=False,
        validation_data=(x, y),
        callbacks=[average, recorder],
        verbose=0,
    )
    return recorder, history.history["val_loss"], (x, y)


def test_later_weights_count_more_by_a_polynomial(model):
    average = WeightAverage(begin=3)
    recorder, *_ = fit(model, average, epochs=3)
    averaged = recorder.trained[3:]
    n = len(averaged)
    assert average.count == n == 9
    # The product of the recursion's shares, for a decay of 6: (k+5 over 6) of (n+6 over 7).
    shares = [comb(k + 5, 6) / comb(n + 6, 7) for k in range(1, n + 1)]
    assert sum(shares) == pytest.approx(1)
    for i, found in enumerate(average.weights):
        if found.dtype == np.int32:
            assert found == averaged[-1][i] == 12
        else:
            mean = sum(s * weights[i] for s, weights in zip(shares, averaged, strict=True))
            np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-6)
            assert found.dtype == np.float32
            assert not np.allclose(found, averaged[-1][i], rtol=1e-4, atol=0)


def test_validation_sees_the_average_and_training_goes_on_from_its_own_weights(model):
    average = WeightAverage(begin=3)
    recorder, val_losses, data = fit(model, average, epochs=3)
    assert_same_arrays(recorder.validated[-1], average.weights)
    assert_same_arrays(model.get_weights(), recorder.trained[-1])
    model.set_weights(average.weights)
    assert model.evaluate(*data, verbose=0) == pytest.approx(val_losses[-1], rel=1e-5)


def test_training_is_not_touched_by_it(model):
    start = model.get_weights()
    recorder, *_ = fit(model, WeightAverage(begin=1), epochs=2)
    model.set_weights(start)
    model.optimizer.iterations.assign(0)
    plain, *_ = fit(model, WeightAverage(), epochs=2)
    for ours, theirs in zip(recorder.trained, plain.trained, strict=True):
        assert_same_arrays(ours, theirs)


@pytest.mark.parametrize("begin", [None, 8])
def test_before_it_begins_it_is_the_weights_themselves(model, begin):
    average = WeightAverage(begin)
    recorder, *_ = fit(model, average, epochs=2)
    assert average.count == 0
    assert_same_arrays(average.weights, model.get_weights())
    assert_same_arrays(recorder.validated[-1], recorder.trained[-1])


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("scaled", [False, True])
def test_it_begins_after_so_many_batches_whatever_the_optimizer_counts(steps, scaled):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps)
    average = WeightAverage(begin=5)
    model = small(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
    fit(model, average, epochs=2)
    assert average.count == 3
