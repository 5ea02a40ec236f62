"""Search spaces as people write them for KerasTuner, small enough for a trial in a second.

Tests write experiments that import them; see small.py.
"""

import keras
import keras_tuner
import numpy as np
import optuna
import tensorflow as tf
from keras import layers

LOSS = "sparse_categorical_crossentropy"


def network(units, activation="softmax"):
    """A network that is not compiled."""
    i = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.MaxPooling2D(4)(i))
    x = layers.Dense(units, activation="relu")(x)
    return keras.Model(i, layers.Dense(10, activation=activation)(x))


def compiled(units=8):
    model = network(units)
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    return model


def dense(hp):
    return compiled(hp.Choice("units", [8, 16]))


# KerasTuner's contract


def unnamed_metrics(hp):
    """Keras calls the metrics of the second model in a process `auc_1` and so on."""
    i = keras.Input((28, 28, 1))
    x = layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(layers.Flatten()(i))
    model = keras.Model(i, layers.Dense(10, activation="softmax")(x))
    metrics = ["accuracy", keras.metrics.AUC(), keras.metrics.Precision()]
    model.compile("adam", "categorical_crossentropy", metrics=metrics)
    return model


class Loop(keras_tuner.HyperModel):
    """A loop of its own, which knows two methods of a callback and nothing of how to stop."""

    def __init__(self, compile=False, first=0):
        super().__init__()
        self.compile, self.first = compile, first

    def build(self, hp):
        model = network(hp.Choice("units", [8, 16]), activation=None)
        if self.compile:
            model.compile("adam", LOSS)
        return model

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        optimizer = keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log"))
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for callback in callbacks:
            callback.set_model(model)
        best = float("inf")
        for epoch in range(self.first, self.first + 3):
            with tf.GradientTape() as tape:
                loss = loss_of(y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
            value = float(loss_of(validation_data[1], model(validation_data[0])))
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"held_out": value})
            best = min(best, value)
        return best


class TwoBatchSizes(keras_tuner.HyperModel):
    """Its build has one configuration, its fit two."""

    def build(self, hp):
        return compiled(hp.Int("units", 8, 9))

    def fit(self, hp, model, *args, **kwargs):
        kwargs["batch_size"] = hp.Choice("batch_size", [16, 32])
        return model.fit(*args, **kwargs)


class Returns(keras_tuner.HyperModel):
    """Trains nothing, and returns what a choice names."""

    def build(self, hp):
        return compiled()

    def fit(self, hp, model, *args, **kwargs):
        return {
            "number": 0.25,
            "numpy": np.float32(0.25),
            "dictionary": {"val_accuracy": 0.25, "seconds": np.float64(3)},
            "list": [0.25, {"val_accuracy": 0.75, "seconds": 2.0}],
            "not a number": float("nan"),
            "infinite": float("inf"),
            "minus infinite": {"val_accuracy": -np.inf},
            "text": "0.25",
            "array": np.ones(3),
            "another metric": {"accuracy": 0.25},
            "no number": {"val_accuracy": "high"},
            "nothing": None,
            "empty": [],
            "two": {"val_accuracy": 0.25, "val_loss": 0.5},
        }[hp.Choice("what", list(WHAT))]


WHAT = (
    *("number", "numpy", "dictionary", "list", "not a number", "text", "array"),
    *("infinite", "minus infinite"),
    *("another metric", "no number", "nothing", "empty", "two"),
)


class Trains(keras_tuner.HyperModel):
    """Trains what it built, and returns nothing; or a score that comes later."""

    def __init__(self, score=None):
        super().__init__()
        self.score = score

    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, *args, **kwargs):
        model.fit(*args, **kwargs)
        if self.score is not None:
            interrupt()
        return self.score


def interrupt():
    """What a test has happen before a `Trains` returns its score."""


class ScoresAtTheEnd(keras_tuner.HyperModel):
    """Validates after its last epoch only, as in KerasTuner's guide "Getting started"."""

    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        held_x, held_y = validation_data
        return float(np.mean(model.predict(held_x, verbose=0).argmax(axis=1) == held_y))


class ValidatesEverySecond(keras_tuner.HyperModel):
    """Its epochs 1, 3 and so on have no metrics of the validation images."""

    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, validation_freq=2, **kwargs)


class PlainArguments(keras_tuner.HyperModel):
    """Names the arguments that it wants, and takes no others."""

    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, x, y, validation_data, epochs):
        history = model.fit(x, y, validation_data=validation_data, epochs=epochs, verbose=0)
        return history


class Folds(keras_tuner.HyperModel):
    """Cross-validates networks of its own, each with the callbacks."""

    def build(self, hp):
        return dense(hp)

    def fit(self, hp, model, x, y, callbacks, epochs, **kwargs):
        del kwargs["validation_data"]
        scores = []
        for fold in range(2):
            held = np.arange(len(x)) % 2 == fold
            one = compiled(hp.get("units"))
            data = (x[held], y[held])
            history = one.fit(
                *(x[~held], y[~held]),
                epochs=epochs,
                validation_data=data,
                callbacks=callbacks,
                **kwargs,
            )
            scores.append(max(history.history["val_accuracy"]))
        return float(np.mean(scores))


class Raises(keras_tuner.HyperModel):
    """Raises what a choice names, in `build` or in `fit`."""

    KINDS = {  # noqa: RUF012
        "pruned": optuna.TrialPruned,
        "failed": keras_tuner.errors.FailedTrialError,
        "fatal": keras_tuner.errors.FatalValueError,
        "own": ArithmeticError,
    }

    def build(self, hp):
        self._raise(hp, "build")
        return compiled()

    def fit(self, hp, model, *args, **kwargs):
        self._raise(hp, "fit")
        return 0.5

    def _raise(self, hp, place):
        if hp.Choice("place", ["build", "fit", "nowhere"], default="nowhere") == place:
            raise self.KINDS[hp.Choice("kind", list(self.KINDS))]("too wide for its depth")


def depends(hp):
    """The choices of one hyperparameter depend on the value of another."""
    depth = hp.Int("depth", 1, 2)
    return compiled(hp.Choice("units", [4, 8] if depth == 1 else [2, 4]))


def depends_by_name(hp):
    """The same, as the message says to write it."""
    depth = hp.Int("depth", 1, 2)
    return compiled(hp.Choice(f"units_{depth}", [4, 8] if depth == 1 else [2, 4]))


class Tells(keras_tuner.HyperModel):
    """Declares in its fit what is called as a run's own parameters are."""

    def build(self, hp):
        for name in ("seed", "precision", "parameters", "hp.seed"):
            hp.Choice(name, ["mine", "other"])
        return compiled()

    def fit(self, hp, model, *args, **kwargs):
        hp.Int("epochs", 3, 9)
        return 0.5


def sometimes_other_metrics(hp):
    """Its default has the metric `accuracy`."""
    model = network(8)
    metrics = [hp.Choice("metric", ["accuracy", "top"])]
    if metrics == ["top"]:
        metrics = [keras.metrics.SparseTopKCategoricalAccuracy(name="top")]
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=metrics)
    return model


class Keeps(keras_tuner.HyperModel):
    """Keeps a layer that all its models have, and what it built last."""

    def __init__(self):
        super().__init__()
        self.first = layers.MaxPooling2D(2, name="first")

    def build(self, hp):
        self.units = hp.Choice("units", [8, 16])
        pooled = keras.Sequential([keras.Input((28, 28, 1)), self.first, layers.Resizing(28, 28)])
        self.model = keras.Model(pooled.inputs, network(self.units)(pooled.outputs[0]))
        self.model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
        return self.model


# What a function is offered


class Noise(layers.Layer):
    """A layer of the space's own, which acts in training only."""

    def call(self, x, training=False):
        noise = keras.random.uniform(keras.ops.shape(x), dtype=x.dtype)
        return x + 0.1 * noise if training else x


def noisy(hp, training=True):
    """Its saved model has no layer of its own."""
    i = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.MaxPooling2D(4)(Noise()(i) if training else i))
    x = layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(x)
    model = keras.Model(i, layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    return model


def heavier_in_training(hp, training=True):
    """Its saved model lacks a layer that has weights."""
    i = keras.Input((28, 28, 1))
    x = layers.Conv2D(1, 3)(i) if training else i
    model = keras.Model(i, network(8)(layers.Resizing(28, 28)(x)))
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    return model


def scheduled(hp, training_steps=None):
    """Its learning rate falls to zero at the last step, if that is known."""
    model = network(hp.Choice("units", [8, 16]))
    rate = 0.02
    if training_steps is not None:
        hp.Fixed("steps", training_steps)
        rate = keras.optimizers.schedules.PolynomialDecay(rate, training_steps, 0.0)
    model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
    return model


def too_deep(hp):
    """Halves 28 pixels six times."""
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for _ in range(6):
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model
