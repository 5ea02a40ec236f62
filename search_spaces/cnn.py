"""Plain convolutional networks: blocks of convolution, pooling and activation, then a dense head.

Batch size is not searched: the learning rate is, and one makes up for the other. It is the
experiment's, and the same for all trials.
"""

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
from keras import layers, ops


def cnn(
    hp: keras_tuner.HyperParameters,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
) -> keras.Model:
    """A compiled classifier for images of `input_shape` in [0, 1] and integer labels.

    Output: float32 probabilities of shape (n, classes).
    """
    fewest, most = possible_blocks(input_shape)
    blocks = hp.Int("blocks", fewest, most, default=fewest)
    pooling = hp.Choice("pooling", ["max", "average"])
    normalise = hp.Boolean("batch_normalisation")
    activation = hp.Choice("activation", ["relu", "elu", "silu"])
    doubled = hp.Boolean("two_convolutions")

    x = inputs = keras.Input(input_shape)
    for augment in _augmentation(hp, input_shape):
        x = augment(x)
    for block in range(blocks):
        # Fewer filters where there are more pixels: a block then costs about the same anywhere.
        few = min(8 * 2**block, 32)
        filters = hp.Int(f"filters_{block}", few, 4 * few, step=few, default=4 * few)
        kernel = hp.Choice(f"kernel_{block}", [3, 5])
        if doubled and block:  # not in the first block, whose many pixels make it dear
            x = layers.Conv2D(filters, kernel, padding="same", activation=activation)(x)
            kernel = 3  # a second large one would cost more than all the rest
        x = layers.Conv2D(filters, kernel, padding="same", use_bias=not normalise)(x)
        # Pooling comes before normalisation and activation: they then work on a quarter of the
        # pixels, and max pooling commutes with a monotonic activation.
        x = layers.MaxPooling2D(2)(x) if pooling == "max" else layers.AveragePooling2D(2)(x)
        if normalise:
            # The default momentum of 0.99 has not yet forgotten its start after one short epoch,
            # and a pruner would judge the network by it.
            x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation(activation)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(dropout := hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.3))(x)
    if dense := hp.Choice("dense", [0, 64, 128, 256], default=128):
        x = layers.Dense(dense, activation=activation)(x)
        x = layers.Dropout(dropout)(x)
    # float32, because probabilities of eight significant bits round small losses away.
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)

    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=_optimizer(hp),
        loss=_loss(hp.Choice("label_smoothing", [0.0, 0.005]), classes),
        metrics=["accuracy"],
    )
    return model


def possible_blocks(input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """The least and the greatest number of blocks: 2 and 4 for images of 28x28.

    A block halves the sides. Large images get more, so that about as many pixels are left.
    """
    side = min(input_shape[:2])
    halvings = max(0, side.bit_length() - 1)  # until one pixel is left
    larger = max(0, halvings - 4)
    return max(1, min(2 + larger, halvings)), max(1, min(4 + larger, halvings))


def _augmentation(
    hp: keras_tuner.HyperParameters, input_shape: tuple[int, int, int]
) -> list[keras.Layer]:
    # Part of the model, so that a saved model is whole; at prediction these layers do nothing.
    found: list[keras.Layer] = []
    if shift := hp.Int("shift_pixels", 0, 2, default=0):
        height, width, _ = input_shape
        found.append(
            layers.RandomTranslation(
                shift / height, shift / width, fill_mode="constant", interpolation="nearest"
            )
        )
    if degrees := hp.Int("rotation_degrees", 0, 15, step=5, default=0):
        found.append(layers.RandomRotation(degrees / 360, fill_mode="constant"))
    return found


def _optimizer(hp: keras_tuner.HyperParameters) -> keras.optimizers.Optimizer:
    # Adam's and SGD's learning rates differ by an order of magnitude, so each has its own. The rate
    # is constant, and a clipped gradient limits the damage of one that is too high for a network.
    if hp.Choice("optimizer", ["adam", "sgd"]) == "adam":
        rate = hp.Float("adam_learning_rate", 2e-4, 4e-3, sampling="log", default=1e-3)
        return keras.optimizers.Adam(rate, global_clipnorm=1.0)
    rate = hp.Float("sgd_learning_rate", 5e-3, 0.1, sampling="log", default=3e-2)
    return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, global_clipnorm=1.0)


def _loss(smoothing: float, classes: int) -> Callable[..., Any]:
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy()

    def smoothed_crossentropy(y_true: Any, y_pred: Any) -> Any:
        targets = ops.one_hot(ops.cast(ops.reshape(y_true, [-1]), "int32"), classes)
        return keras.losses.categorical_crossentropy(targets, y_pred, label_smoothing=smoothing)

    return smoothed_crossentropy
