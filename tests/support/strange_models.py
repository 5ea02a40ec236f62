"""Search spaces of models that are more than a stack of Keras's own layers; see small.py."""

import keras
import keras_tuner
from keras import layers

LOSS = "sparse_categorical_crossentropy"


class Subclass(keras.Model):
    """A model that says nothing of its inputs, nor of how it was made."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.pool, self.flat = layers.MaxPooling2D(4), layers.Flatten()
        self.one = layers.Dense(units, activation="relu")
        self.two = layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.two(self.one(self.flat(self.pool(x))))


@keras.saving.register_keras_serializable(package="mine")
class Saveable(Subclass):
    """The same, and Keras knows how to make it again."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.units = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="mine")
class ModelBlock(keras.Model):
    """A block of a model that is a model of its own."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same")
        self.norm = layers.BatchNormalization()

    def call(self, x, training=False):
        return keras.activations.relu(self.norm(self.conv(x), training=training))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="mine")
class LayerBlock(layers.Layer):
    """The same as a layer."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same")

    def call(self, x):
        return keras.activations.relu(self.conv(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def ready(model, loss=LOSS):
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    return model


def classifier(inner, activation="softmax"):
    """Shrunk images, the inner layers, and a dense layer."""
    i = keras.Input((28, 28, 1))
    x = layers.Flatten()(inner(layers.MaxPooling2D(4)(i)))
    return keras.Model(i, layers.Dense(10, activation=activation)(x))


def subclass(hp):
    return ready(Subclass(hp.Choice("units", [8, 16])))


def saveable(hp):
    return ready(Saveable(hp.Choice("units", [8, 16])))


def model_block(hp):
    return ready(classifier(ModelBlock(hp.Choice("filters", [2, 4]))))


def layer_block(hp):
    return ready(classifier(LayerBlock(hp.Choice("filters", [2, 4]))))


def logits(hp):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(classifier(layers.Conv2D(hp.Choice("filters", [2, 4]), 3), None), loss)


def with_lambda(hp):
    """Its file is not loaded, because a Lambda layer is code."""
    return ready(classifier(layers.Lambda(keras.ops.relu)))


def nested(hp):
    """Models in models, all of them of Keras's own layers."""
    block = keras.Sequential([layers.Conv2D(hp.Choice("filters", [2, 4]), 3), layers.ReLU()])
    return ready(classifier(keras.Sequential([block, layers.BatchNormalization()])))


def layered(hp):
    """Layers that are made of layers."""
    i = keras.Input((28, 28, 1))
    x = layers.Reshape((7, 7))(layers.MaxPooling2D(4)(i))
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.TimeDistributed(layers.Dense(hp.Choice("units", [2, 4])))(x)
    x = layers.Flatten()(x)
    return ready(keras.Model(i, layers.Dense(10, activation="softmax", dtype="float32")(x)))


def of_policy(policy):
    """A space that sets a policy itself, for models with layers inside of layers."""

    def space(hp):
        keras.config.set_dtype_policy(policy)
        return layered(hp)

    return space


half_brain = of_policy("mixed_bfloat16")
half_float = of_policy("mixed_float16")


def top_three(model):
    """With a metric that takes no half precision."""
    metrics = [keras.metrics.SparseTopKCategoricalAccuracy(3, name="top")]
    model.compile("adam", LOSS, metrics=metrics)
    return model


def stack_in_half(hp):
    hidden = layers.Dense(hp.Choice("units", [8, 16]), activation="relu")
    inner = keras.Sequential([hidden, layers.Dense(10, activation="softmax")])
    return top_three(keras.Sequential([layers.MaxPooling2D(4), layers.Flatten(), inner]))


def graph_in_half(hp):
    return top_three(classifier(layers.Conv2D(hp.Choice("filters", [2, 4]), 3)))


def subclass_in_half(hp):
    return top_three(Subclass(hp.Choice("units", [8, 16])))


class TwoHeads(keras_tuner.HyperModel):
    """Two outputs; the second one is trained on whether the digit is even."""

    def build(self, hp):
        i = keras.Input((28, 28, 1))
        x = layers.Flatten()(layers.MaxPooling2D(4)(i))
        x = layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(x)
        digit = layers.Dense(10, activation="softmax", name="digit")(x)
        even = layers.Dense(1, activation="sigmoid", name="even")(x)
        model = keras.Model(i, {"digit": digit, "even": even})
        losses = {"digit": LOSS, "even": "binary_crossentropy"}
        model.compile("adam", losses, metrics={"digit": "accuracy"})
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        def both(y):
            return {"digit": y, "even": (y % 2 == 0).astype("float32")}

        held_x, held_y = validation_data
        return model.fit(x, both(y), validation_data=(held_x, both(held_y)), **kwargs)


class TwoInputs(keras_tuner.HyperModel):
    """Two inputs: the upper and the lower half of the image."""

    def build(self, hp):
        a, b = keras.Input((14, 28, 1)), keras.Input((14, 28, 1))
        x = layers.Concatenate()([layers.Flatten()(a), layers.Flatten()(b)])
        x = layers.Dense(hp.Choice("units", [4, 8]), activation="relu")(x)
        return ready(keras.Model([a, b], layers.Dense(10, activation="softmax")(x)))

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        def cut(x):
            return [x[:, :14], x[:, 14:]]

        held_x, held_y = validation_data
        return model.fit(cut(x), y, validation_data=(cut(held_x), held_y), **kwargs)


class WithoutInput(keras_tuner.HyperModel):
    """After KerasTuner's guide: a stack without an Input, and a fit that tunes the batch size."""

    def build(self, hp):
        units = hp.Int("units", 8, 32, step=2, sampling="log")
        hidden = layers.Dense(units, activation="relu")
        inner = [layers.MaxPooling2D(4), layers.Flatten(), hidden, layers.Dropout(0.1)]
        return ready(keras.Sequential([*inner, layers.Dense(10, activation="softmax")]))

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [25, 50]), **kwargs)


class BuiltInFit(keras_tuner.HyperModel):
    """Returns a model without weights; its fit alone knows what the model takes."""

    def build(self, hp):
        hidden = layers.Dense(hp.Choice("units", [4, 8]), activation="relu")
        return ready(keras.Sequential([hidden, layers.Dense(10, activation="softmax")]))

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        def rows(x):
            return x[:, ::4, ::4].reshape(len(x), -1)

        held_x, held_y = validation_data
        return model.fit(rows(x), y, validation_data=(rows(held_x), held_y), **kwargs)
