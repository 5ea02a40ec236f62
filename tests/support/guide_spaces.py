"""HyperModels in the shape of KerasTuner's public guides and examples, on small images.

Each space names the guide that it follows; keras.io/keras_tuner/guides/ has them. The shapes that
strange_spaces.py and strange_models.py have are not here.
"""

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras import layers

LOSS = "sparse_categorical_crossentropy"
TOP = "sparse_top_k_categorical_accuracy"


# "Getting started with KerasTuner"


def call_existing_code(units, activation, dropout, lr):
    model = keras.Sequential()
    model.add(layers.Flatten())
    model.add(layers.Dense(units=units, activation=activation))
    if dropout:
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(learning_rate=lr), loss=LOSS, metrics=["accuracy"])
    return model


def existing_code(hp):
    units = hp.Int("units", min_value=32, max_value=512, step=32)
    activation = hp.Choice("activation", ["relu", "tanh"])
    dropout = hp.Boolean("dropout")
    lr = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    return call_existing_code(units=units, activation=activation, dropout=dropout, lr=lr)


class Normalizes(keras_tuner.HyperModel):
    """Tunes how its data are prepared, and whether they are shuffled."""

    def build(self, hp):
        return existing_code(hp)

    def fit(self, hp, model, x, y, **kwargs):
        if hp.Boolean("normalize"):
            x = layers.Normalization()(x)
        return model.fit(x, y, shuffle=hp.Boolean("shuffle"), **kwargs)


def regressor(hp):
    model = keras.Sequential(
        [
            layers.Flatten(),
            layers.Dense(units=hp.Int("units", 32, 128, 32), activation="relu"),
            layers.Dense(units=1),
        ]
    )
    metrics = [keras.metrics.MeanAbsoluteError()]
    model.compile(optimizer="adam", loss="mean_squared_error", metrics=metrics)
    return model


class Regressor(keras_tuner.HyperModel):
    """Returns a number, which the objective is named after."""

    def build(self, hp):
        return regressor(hp)

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        x_val, y_val = validation_data
        y_pred = model.predict(x_val)
        return np.mean(np.abs(y_pred - y_val))


class RegressorOfTwoMetrics(Regressor):
    """Returns a dictionary, one of whose values is the objective."""

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        error = super().fit(hp, model, x, y, validation_data, **kwargs)
        return {"metric_a": -error, "metric_b": error}


# "Custom training loops"


class CustomLoop(keras_tuner.HyperModel):
    """Ends every epoch by telling the callbacks a metric, and returns the best."""

    def build(self, hp):
        inputs = keras.Input(shape=(28, 28, 1))
        x = layers.Flatten()(inputs)
        x = layers.Dense(units=hp.Choice("units", [32, 64, 128]), activation="relu")(x)
        return keras.Model(inputs=inputs, outputs=layers.Dense(10)(x))

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        batch_size = hp.Int("batch_size", 32, 128, step=32, default=64)
        train_ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)
        validation_ds = tf.data.Dataset.from_tensor_slices(validation_data).batch(batch_size)
        optimizer = keras.optimizers.Adam(
            hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
        )
        loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        epoch_loss_metric = keras.metrics.Mean()

        @tf.function
        def run_train_step(images, labels):
            with tf.GradientTape() as tape:
                logits = model(images)
                loss = loss_fn(labels, logits)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

        @tf.function
        def run_val_step(images, labels):
            epoch_loss_metric.update_state(loss_fn(labels, model(images)))

        for callback in callbacks:
            callback.set_model(model)
        best_epoch_loss = float("inf")
        for epoch in range(2):
            for images, labels in train_ds:
                run_train_step(images, labels)
            for images, labels in validation_ds:
                run_val_step(images, labels)
            epoch_loss = float(epoch_loss_metric.result().numpy())
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_metric": epoch_loss})
            epoch_loss_metric.reset_state()
            best_epoch_loss = min(best_epoch_loss, epoch_loss)
        return best_epoch_loss


# "Visualize the hyperparameter tuning process"


def mlp_or_cnn(hp):
    """Has hyperparameters that exist for one kind of model only."""
    inputs = keras.Input(shape=(28, 28, 1))
    model_type = hp.Choice("model_type", ["mlp", "cnn"])
    with hp.conditional_scope("model_type", ["mlp"]):
        if model_type == "mlp":
            x = layers.Flatten()(inputs)
            for i in range(hp.Int("mlp_layers", 1, 3)):
                x = layers.Dense(hp.Int(f"units_{i}", 32, 128, step=32), activation="relu")(x)
    with hp.conditional_scope("model_type", ["cnn"]):
        if model_type == "cnn":
            x = inputs
            for i in range(hp.Int("cnn_layers", 1, 3)):
                filters = hp.Int(f"filters_{i}", 4, 16, step=4)
                x = layers.Conv2D(filters, kernel_size=(3, 3), activation="relu")(x)
                x = layers.MaxPooling2D(pool_size=(2, 2))(x)
            x = layers.Flatten()(x)
    if hp.Boolean("dropout"):
        x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(units=10, activation="softmax")(x)
    model = keras.Model(inputs=inputs, outputs=outputs)
    model.compile(loss=LOSS, metrics=["accuracy"], optimizer="adam")
    return model


# "Distributed hyperparameter tuning"


def distributed(hp):
    """Tells the optimizer by its name, and a name per layer."""
    inputs = keras.Input(shape=(28, 28, 1))
    x = layers.Resizing(14, 14)(inputs)
    for i in range(hp.Int("conv_layers", 1, 3, default=3)):
        x = layers.Conv2D(
            filters=hp.Int("filters_" + str(i), 4, 32, step=4, default=8),
            kernel_size=hp.Int("kernel_size_" + str(i), 3, 5),
            activation="relu",
            padding="same",
        )(x)
        if hp.Choice("pooling" + str(i), ["max", "avg"]) == "max":
            x = layers.MaxPooling2D()(x)
        else:
            x = layers.AveragePooling2D()(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    if hp.Choice("global_pooling", ["max", "avg"]) == "max":
        x = layers.GlobalMaxPooling2D()(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(10, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    optimizer = hp.Choice("optimizer", ["adam", "sgd"])
    model.compile(optimizer, loss=LOSS, metrics=["accuracy"])
    return model


# "Tailor the search space"


class Tailored(keras_tuner.HyperModel):
    """Takes a model from elsewhere, and fixes or narrows what it declares."""

    def __init__(self, inner):
        super().__init__(name="tailored")
        self.inner = inner

    def build(self, hp):
        hp.Fixed("lr", value=1e-3)
        hp.Int("units", 32, 64, step=32)
        model = self.inner(hp)
        model.compile(optimizer=model.optimizer, loss=LOSS, metrics=["accuracy", TOP])
        return model


# The documentation of HyperModel and HyperParameters, and what the forums build on it


class Custom(keras.Model):
    """Overrides `train_step` and its metrics, as in Keras's guide "Customizing fit()"."""

    def __init__(self, units):
        super().__init__()
        self.inner = keras.Sequential(
            [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(10, "softmax")]
        )
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.right = keras.metrics.SparseCategoricalAccuracy(name="right")

    def call(self, x, training=False):
        return self.inner(x, training=training)

    @property
    def metrics(self):
        return [self.loss_tracker, self.right]

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self._tell(y, y_pred, loss)

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred))
        return self._tell(y, y_pred, loss)

    def _tell(self, y, y_pred, loss):
        self.loss_tracker.update_state(loss)
        self.right.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def customized(hp):
    model = Custom(hp.Int("units", 8, 32, step=2, sampling="log"))
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    return model


class KFold(keras_tuner.HyperModel):
    """Builds its model again for each fold, and returns their histories."""

    def build(self, hp):
        return existing_code(hp)

    def fit(self, hp, model, x, y, **kwargs):
        histories = []
        for fold in range(2):
            model = self.build(hp)
            held = np.arange(len(x)) % 2 == fold
            data = (x[held], y[held])
            histories.append(
                model.fit(x[~held], y[~held], validation_data=data, epochs=1, verbose=0)
            )
        return histories


class TunesCallbacks(keras_tuner.HyperModel):
    """Adds callbacks to those of the search, weighs its classes, and feeds a tf.data.Dataset."""

    def build(self, hp):
        return existing_code(hp)

    def fit(self, hp, model, x, y, callbacks=None, **kwargs):
        flip = layers.RandomFlip() if hp.Boolean("augment") else layers.Identity()
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(300, seed=0).batch(50)
        dataset = dataset.map(lambda x, y: (flip(x, training=True), y))
        stop = keras.callbacks.EarlyStopping("val_loss", patience=hp.Int("patience", 1, 3))
        reduce = keras.callbacks.ReduceLROnPlateau(factor=hp.Float("factor", 0.1, 0.5, step=0.1))
        weights = {digit: 1 + digit / 10 for digit in range(10)}
        return model.fit(
            dataset, callbacks=[*callbacks, stop, reduce], class_weight=weights, **kwargs
        )


def parents(hp):
    """Names a hyperparameter's parent in the call, and does not say what is written in scopes."""
    kind = hp.Choice("kind", ["dense", "conv"])
    units = hp.Int("units", 8, 16, step=8, parent_name="kind", parent_values=["dense"])
    filters = hp.Int("filters", 2, 4, step=2, parent_name="kind", parent_values=["conv"])
    inner = layers.Dense(units) if kind == "dense" else layers.Conv2D(filters, 3)
    with hp.name_scope("optimizer"):
        rate = hp.Float("rate", 1e-4, 1e-2, sampling="reverse_log")
    model = keras.Sequential([layers.MaxPooling2D(4), inner, layers.Flatten()])
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), LOSS, metrics=["accuracy"])
    return model
