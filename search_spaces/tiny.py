"""Tiny networks: 300 to 18,000 parameters for ten classes, for devices with little memory or power.

They save parameters by separable convolutions (A. Howard et al., "MobileNets", 2017), 1x1
convolutions that narrow the input of the next block (F. Iandola et al., "SqueezeNet", 2016), and
global average pooling instead of dense layers (M. Lin et al., "Network in Network", 2013).
"""

from collections.abc import Collection

import keras
import keras_tuner
from keras import layers

from search_spaces.augmentation import LIGHT, augmented
from search_spaces.compilation import compiled
from search_spaces.parts import halved_to_small, normalised, possible_stages, probabilities


def tiny(
    hp: keras_tuner.HyperParameters,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    distortions: Collection[str] = LIGHT,
    training: bool = True,
    training_steps: int | None = None,
) -> keras.Model:
    """A compiled classifier; arguments and output are those of `search_spaces.cnn.cnn`."""
    fewest, most = possible_stages(input_shape)
    stages = hp.Int("stages", fewest, most, default=min(3, most))
    normalisation = hp.Choice("normalisation", ["batch", "none"])
    activation = hp.Choice("activation", ["relu", "silu"])

    inputs = keras.Input(input_shape)
    x = halved_to_small(augmented(hp, inputs, distortions, training), 8, activation)
    for stage in range(stages):
        filters = hp.Int(f"filters_{stage}", 6, 16, step=2, default=12)
        depth = hp.Int(f"depth_{stage}", 1, 2)
        # One channel cannot be separated.
        separable = (depth > 1 or x.shape[-1] > 1) and hp.Boolean(f"separable_{stage}")
        for place in range(depth):
            if x.shape[-1] > 8 and hp.Boolean("narrowed"):
                x = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False)(x)
            if separable and x.shape[-1] > 1:
                # Twice the filters are still less than half the parameters of the other kind.
                x = layers.SeparableConv2D(2 * filters, 3, padding="same")(x)
            else:
                x = layers.Conv2D(filters, 3, padding="same")(x)
            if place == depth - 1:  # first, because the layers after it then cost a quarter
                x = layers.MaxPooling2D(2, padding="same")(x)
            x = layers.Activation(activation)(normalised(x, normalisation))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(hp.Float("dropout", 0.0, 0.2, step=0.1))(x)
    return compiled(hp, keras.Model(inputs, probabilities(x, classes)), classes, training_steps)
