"""What a built model is: its layers in a few words, its size, its arithmetic."""

from collections.abc import Iterator
from math import prod

import keras
from keras import layers


def in_words(model: keras.Model) -> str:
    """The convolution and dense widths in order, as in `conv 32-64 · dense 128-10`."""
    parts = []
    for word, kinds, width in (
        ("conv", layers.Conv2D, "filters"),
        ("dense", layers.Dense, "units"),
    ):
        widths = [getattr(layer, width) for layer in _flat(model) if isinstance(layer, kinds)]
        if len(widths) > 6:  # a deep network is told by its depth
            parts.append(f"{len(widths)} {word} layers")
        elif widths:
            parts.append(f"{word} {'-'.join(map(str, widths))}")
    return " · ".join(parts) or f"{len(model.layers)} layers"


def multiply_accumulates(model: keras.Model) -> int:
    """Multiply-accumulate operations of one image's forward pass through convolutions and denses.

    A convolution has (output pixels) x (kernel weights), a dense layer its kernel's weights; the
    rest is left out, as is customary (Sovrasov, "ptflops", 2018-2024).
    """
    total = 0
    for layer in _flat(model):
        if isinstance(layer, layers.Dense):
            total += prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
        elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            total += prod(layer.output.shape[1:3]) * prod(layer.kernel.shape)
        elif isinstance(layer, layers.SeparableConv2D):
            kernels = prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
            total += prod(layer.output.shape[1:3]) * kernels
    return total


def training_bytes(model: keras.Model, batch_size: int) -> int:
    """About how much memory a training step of `batch_size` images takes, from below.

    Four bytes for each weight, its gradient and the optimizer's two moments, and for each value
    that a layer gives out and its gradient. Buffers of the convolutions come on top.
    """
    outputs = sum(
        prod(size for size in tensor.shape[1:] if size)
        for layer in _flat(model)
        for tensor in keras.tree.flatten(layer.output)
    )
    return int(4 * (4 * model.count_params() + 2 * batch_size * outputs))


def _flat(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer
