"""Plain convolutional networks: blocks of convolution, pooling and activation, then a dense head.

The batch size is not searched, because the learning rate is, and can compensate for it. The
experiment sets it for all trials.
"""

from collections.abc import Collection

import keras
import keras_tuner
from keras import layers

from search_spaces.augmentation import LIGHT, augmented
from search_spaces.compilation import compiled
from search_spaces.parts import normalised, probabilities


def cnn(
    hp: keras_tuner.HyperParameters,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    distortions: Collection[str] = LIGHT,
    training: bool = True,
    training_steps: int | None = None,
) -> keras.Model:
    """A compiled classifier for images in [0, 1] and integer labels.

    Args:
        hp: The hyperparameters.
        input_shape: (height, width, channels) of an image.
        classes: The number of classes.
        distortions: The kinds of augmentation to search, see `augmented`.
        training: Whether the model is built to be trained.
        training_steps: See `compiled`.

    Returns:
        A model whose outputs are float32 probabilities of shape (n, classes).
    """
    fewest, most = possible_blocks(input_shape)
    blocks = hp.Int("blocks", fewest, most, default=fewest)
    pooling = hp.Choice("pooling", ["max", "average"])
    normalisation = "batch" if hp.Boolean("batch_normalisation") else "none"
    activation = hp.Choice("activation", ["relu", "elu", "silu"])
    doubled = hp.Boolean("two_convolutions")

    inputs = keras.Input(input_shape)
    x = augmented(hp, inputs, distortions, training)
    for block in range(blocks):
        # Fewer filters where there are more pixels: a block then costs about the same anywhere.
        few = min(8 * 2**block, 32)
        filters = hp.Int(f"filters_{block}", few, 4 * few, step=few, default=4 * few)
        kernel = hp.Choice(f"kernel_{block}", [3, 5])
        if doubled and block:  # not in the first block, whose many pixels make it expensive
            x = layers.Conv2D(filters, kernel, padding="same", activation=activation)(x)
            kernel = 3  # a second large one would cost more than all the rest
        x = layers.Conv2D(filters, kernel, padding="same", use_bias=normalisation == "none")(x)
        # Pooling comes before normalisation and activation: they then work on a quarter of the
        # pixels, and max pooling commutes with a monotonic activation.
        x = layers.MaxPooling2D(2)(x) if pooling == "max" else layers.AveragePooling2D(2)(x)
        x = normalised(x, normalisation)
        x = layers.Activation(activation)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(dropout := hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.3))(x)
    if dense := hp.Choice("dense", [0, 64, 128, 256], default=128):
        x = layers.Dense(dense, activation=activation)(x)
        x = layers.Dropout(dropout)(x)
    return compiled(hp, keras.Model(inputs, probabilities(x, classes)), classes, training_steps)


def possible_blocks(input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """The least and the greatest number of blocks: 2 and 4 for images of 28x28.

    A block halves the sides. Large images get more, so that about as many pixels are left. Images
    that are one pixel high or wide get none.
    """
    side = min(input_shape[:2])
    halvings = max(0, side.bit_length() - 1)  # until one pixel is left
    larger = max(0, halvings - 4)
    return min(2 + larger, halvings), min(4 + larger, halvings)
