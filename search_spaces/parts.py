"""Parts that several search spaces have in common."""

import keras
from keras import layers

# A network works on all pixels if the shorter side has at most so many. Larger images are halved
# before its stages.
SMALL = 32


def normalised(x: keras.KerasTensor, kind: str) -> keras.KerasTensor:
    """Normalise the activations.

    Args:
        x: Activations of shape (n, height, width, channels).
        kind: `batch`; `layer`, over all activations of an image, which does not depend on the
            batch; or `none`.
    """
    if kind == "batch":
        # The default momentum of 0.99 has not yet forgotten its start after one short epoch, and a
        # pruner would judge the network by it.
        return layers.BatchNormalization(momentum=0.9)(x)
    if kind == "layer":
        return layers.GroupNormalization(groups=1)(x)
    return x


def halved_to_small(x: keras.KerasTensor, filters: int, activation: str) -> keras.KerasTensor:
    """Halve large images by convolution and pooling until the shorter side is at most `SMALL`.

    Args:
        x: Images of shape (n, height, width, channels).
        filters: The number of filters of each convolution.
        activation: The activation after each pooling.
    """
    while min(x.shape[1:3]) > SMALL:
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.Activation(activation)(layers.MaxPooling2D(2, padding="same")(x))
    return x


def possible_stages(input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the least and the greatest number of stages.

    Each has images with half the sides of the one before. They are 2 and 4 if the shorter side has
    8 pixels or more. Large images are halved first, see `halved_to_small`.
    """
    side = min(*input_shape[:2], SMALL)
    most = min(4, side.bit_length())  # until one pixel is left
    return min(2, most), most


def probabilities(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Return the output of a classifier: probabilities of shape (n, classes).

    Args:
        x: Features of shape (n, features).
        classes: The number of classes.
    """
    # float32, because probabilities of eight significant bits round small losses away.
    return layers.Dense(classes, activation="softmax", dtype="float32")(x)
