"""Known networks in words and in numbers; the arithmetic is written out by hand."""

import keras
import pytest
from keras import layers

from mnist_cnn.training.architecture import in_words, multiply_accumulates


def classifier(*inner, classes=10):
    """The layers on images of 8x8 pixels, then a dense layer."""
    return keras.Sequential(
        [keras.Input((8, 8, 1)), *inner, layers.Flatten(), layers.Dense(classes)]
    )


# name: (layers before the dense one, words, multiply-accumulates)
NETWORKS = {
    "dense only": ([], "dense 10", 64 * 10),
    "convolution, valid": ([layers.Conv2D(4, 3)], "conv 4 · dense 10", 36 * 9 * 4 + 144 * 10),
    "convolution, same and strided": (
        [layers.Conv2D(4, 3, strides=2, padding="same")],
        "conv 4 · dense 10",
        16 * 9 * 4 + 64 * 10,
    ),
    "bias, pooling and normalisation are left out": (
        [
            layers.Conv2D(4, 5, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Activation("relu"),
            layers.Dropout(0.5),
        ],
        "conv 4 · dense 10",
        64 * 25 * 4 + 64 * 10,
    ),
    "two convolutions and two denses": (
        [
            layers.Conv2D(2, 3, padding="same"),
            layers.Conv2D(3, (1, 5), padding="same"),
            layers.Flatten(),
            layers.Dense(7),
        ],
        "conv 2-3 · dense 7-10",
        64 * 9 * 2 + 64 * 5 * 2 * 3 + 192 * 7 + 7 * 10,
    ),
    "in groups": (
        [layers.Conv2D(4, 1), layers.Conv2D(8, 3, groups=2)],
        "conv 4-8 · dense 10",
        64 * 4 + 36 * 9 * (4 // 2) * 8 + 288 * 10,
    ),
    "depthwise": (
        [layers.Conv2D(4, 1), layers.DepthwiseConv2D(3, depth_multiplier=2)],
        "conv 4 · dense 10",
        64 * 4 + 36 * 9 * 4 * 2 + 288 * 10,
    ),
    "separable": (
        [layers.Conv2D(4, 1), layers.SeparableConv2D(6, 3, strides=2, padding="same")],
        "conv 4-6 · dense 10",
        64 * 4 + 16 * (9 * 4 + 4 * 6) + 96 * 10,
    ),
    "six convolutions": (
        [layers.Conv2D(1, 1) for _ in range(6)],
        "conv 1-1-1-1-1-1 · dense 10",
        6 * 64 + 64 * 10,
    ),
    "seven convolutions": (
        [layers.Conv2D(1, 1) for _ in range(7)],
        "7 conv layers · dense 10",
        7 * 64 + 64 * 10,
    ),
}


@pytest.mark.parametrize(("inner", "words", "arithmetic"), NETWORKS.values(), ids=NETWORKS.keys())
def test_a_known_network(inner, words, arithmetic):
    model = classifier(*inner)
    assert in_words(model) == words
    assert multiply_accumulates(model) == arithmetic


def test_a_network_without_convolution_and_dense_is_told_by_its_depth():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Softmax()])
    assert in_words(model) == "2 layers"
    assert multiply_accumulates(model) == 0


@pytest.mark.parametrize(
    "inner",
    [
        [layers.Conv2DTranspose(4, 3)],
        [layers.Reshape((8, 8)), layers.LSTM(4)],
        [layers.Reshape((8, 8)), layers.Conv1D(4, 3)],
    ],
    ids=["transposed", "recurrent", "of one dimension"],
)
def test_the_arithmetic_of_other_kernels_is_unknown(inner):
    assert multiply_accumulates(classifier(*inner)) is None


def test_a_nested_model_counts_as_its_layers():
    convolutions = keras.Sequential([layers.Conv2D(4, 3), layers.Conv2D(5, 3)])
    inputs = keras.Input((6, 6, 4))
    functional = keras.Model(inputs, layers.Conv2D(3, 1)(inputs))
    inner = keras.Sequential([layers.Conv2D(4, 3), functional])  # two levels deep
    assert in_words(classifier(convolutions)) == "conv 4-5 · dense 10"
    assert multiply_accumulates(classifier(convolutions)) == 36 * 36 + 16 * 180 + 80 * 10
    assert in_words(classifier(inner)) == "conv 4-3 · dense 10"
    assert multiply_accumulates(classifier(inner)) == 36 * 36 + 36 * 12 + 108 * 10


def test_branches_all_count():
    inputs = keras.Input((8, 8, 1))
    left, right = layers.Conv2D(2, 3)(inputs), layers.Conv2D(3, 3)(inputs)
    both = layers.Flatten()(layers.Concatenate()([left, right]))
    model = keras.Model(inputs, layers.Dense(10)(both))
    assert in_words(model) == "conv 2-3 · dense 10"
    assert multiply_accumulates(model) == 36 * 18 + 36 * 27 + 180 * 10


def test_a_dense_layer_on_pixels_computes_at_each_of_them():
    model = classifier(layers.Conv2D(4, 1), layers.Dense(5))
    assert multiply_accumulates(model) == 64 * 4 + 64 * 4 * 5 + 320 * 10
