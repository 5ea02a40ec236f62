"""VGG-style networks for small images: stages of 3x3 convolutions, then pooling, then dense layers.

After K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition" (2014), with what came later: normalisation, before or after the activation, and global
average pooling instead of flattening. Each stage halves the sides and doubles the width.
"""

from collections.abc import Collection

import keras
import keras_tuner
from keras import layers

from search_spaces.augmentation import LIGHT, augmented
from search_spaces.compilation import compiled
from search_spaces.parts import halved_to_small, normalised, possible_stages, probabilities


def vgg(
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
    width = hp.Int("width", 8, 32, step=8, default=16)
    normalisation = hp.Choice("normalisation", ["batch", "layer", "none"])
    first = "activation"
    if normalisation != "none":
        first = hp.Choice("first_of_normalisation_and_activation", ["normalisation", "activation"])
    activation = hp.Choice("activation", ["relu", "elu", "silu"])

    inputs = keras.Input(input_shape)
    x = halved_to_small(augmented(hp, inputs, distortions, training), width, activation)
    for stage in range(stages):
        for _ in range(hp.Int(f"depth_{stage}", 1, 3)):
            x = layers.Conv2D(width * 2**stage, 3, padding="same")(x)
            if first == "normalisation":
                x = layers.Activation(activation)(normalised(x, normalisation))
            else:
                x = normalised(layers.Activation(activation)(x), normalisation)
        x = layers.MaxPooling2D(2, padding="same")(x)
    flat = hp.Choice("head", ["flatten", "average"]) == "flatten"
    x = (layers.Flatten() if flat else layers.GlobalAveragePooling2D())(x)
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.3)
    for layer in range(hp.Int("dense_layers", 0, 2, default=1)):
        x = layers.Dropout(dropout)(x)
        x = layers.Dense(hp.Choice(f"dense_{layer}", [64, 128, 256]), activation=activation)(x)
    x = layers.Dropout(dropout)(x)
    return compiled(hp, keras.Model(inputs, probabilities(x, classes)), classes, training_steps)
