"""Residual networks for small images: two or three stages, not the giants made for ImageNet.

The space covers the choices in which the papers differ: the number of stages and of blocks in each,
the width, the block (basic or bottleneck: K. He et al., "Deep Residual Learning for Image
Recognition", 2015), whether normalisation and activation come before the convolution (He et al.,
"Identity Mappings in Deep Residual Networks", 2016), squeeze-and-excitation (J. Hu et al., 2017),
and the kind of normalisation. Each stage halves the sides and doubles the width.
"""

from collections.abc import Collection

import keras
import keras_tuner
from keras import layers

from search_spaces.augmentation import LIGHT, augmented
from search_spaces.compilation import compiled
from search_spaces.parts import halved_to_small, normalised, possible_stages, probabilities

BOTTLENECK = 2  # a basic block's filters, divided by those of a bottleneck's 3x3 convolution
EXPANSION = 4  # the channels of a bottleneck's output, divided by the same
SQUEEZE = 4  # the channels, divided by those between squeeze and excitation


def resnet(
    hp: keras_tuner.HyperParameters,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    distortions: Collection[str] = LIGHT,
    training: bool = True,
    training_steps: int | None = None,
) -> keras.Model:
    """A compiled classifier; arguments and output are those of `search_spaces.cnn.cnn`."""
    fewest, most = possible_stages(input_shape)
    stages = hp.Int("stages", fewest, min(3, most))
    width = hp.Int("width", 8, 32, step=8, default=16)
    block = _Block(hp)

    inputs = keras.Input(input_shape)
    x = halved_to_small(augmented(hp, inputs, distortions, training), width, block.activation)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    if hp.Boolean("pooled_stem", default=True):  # a quarter of the cost of all that follows
        x = layers.MaxPooling2D(2, padding="same")(x)
    if not block.pre_activation:
        x = layers.Activation(block.activation)(normalised(x, block.normalisation))
    for stage in range(stages):
        for index in range(hp.Int(f"depth_{stage}", 1, 3)):
            halve = stage > 0 and index == 0
            x = block(x, width * 2**stage, strides=2 if halve else 1)
    if block.pre_activation:
        x = layers.Activation(block.activation)(normalised(x, block.normalisation))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(hp.Float("dropout", 0.0, 0.4, step=0.2))(x)
    return compiled(hp, keras.Model(inputs, probabilities(x, classes)), classes, training_steps)


class _Block:
    """A residual block, of the kind that the hyperparameters say."""

    def __init__(self, hp: keras_tuner.HyperParameters) -> None:
        self.bottleneck = hp.Boolean("bottleneck")
        self.pre_activation = hp.Boolean("pre_activation")
        self.squeeze_excite = hp.Boolean("squeeze_excite")
        self.normalisation = hp.Choice("normalisation", ["batch", "layer"])
        self.activation = hp.Choice("activation", ["relu", "silu"])

    def __call__(self, x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
        """Return the output of a block.

        Args:
            x: Activations of shape (n, height, width, channels).
            filters: The number of filters of a basic block's convolutions.
            strides: Of the first 3x3 convolution.
        """
        convolutions = [(filters, 3, strides), (filters, 3, 1)]
        if self.bottleneck:
            # The stride is at the 3x3 convolution, which still sees every pixel.
            few = filters // BOTTLENECK
            convolutions = [(few, 1, 1), (few, 3, strides), (EXPANSION * few, 1, 1)]
        shortcut = x
        for place, (width, kernel, step) in enumerate(convolutions):
            if self.pre_activation:
                x = layers.Activation(self.activation)(normalised(x, self.normalisation))
                if place == 0 and _changes(shortcut, convolutions):
                    shortcut = x
            x = layers.Conv2D(width, kernel, strides=step, padding="same", use_bias=False)(x)
            if not self.pre_activation:
                x = normalised(x, self.normalisation)
                if place < len(convolutions) - 1:
                    x = layers.Activation(self.activation)(x)
        if self.squeeze_excite:
            x = _squeezed_and_excited(x)
        if _changes(shortcut, convolutions):
            shortcut = layers.Conv2D(x.shape[-1], 1, strides=strides, use_bias=False)(shortcut)
            if not self.pre_activation:
                shortcut = normalised(shortcut, self.normalisation)
        x = layers.Add()([shortcut, x])
        return x if self.pre_activation else layers.Activation(self.activation)(x)


def _changes(x: keras.KerasTensor, convolutions: list[tuple[int, int, int]]) -> bool:
    """Return whether the output of the convolutions differs in shape from their input."""
    return x.shape[-1] != convolutions[-1][0] or any(step > 1 for _, _, step in convolutions)


def _squeezed_and_excited(x: keras.KerasTensor) -> keras.KerasTensor:
    """Scale each channel by a factor in (0, 1) that depends on the means of all channels."""
    channels = x.shape[-1]
    means = layers.GlobalAveragePooling2D(keepdims=True)(x)
    few = layers.Conv2D(max(1, channels // SQUEEZE), 1, activation="relu")(means)
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(few)])
