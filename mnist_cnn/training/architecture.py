"""A built model in words and numbers: its layers, its size, its arithmetic."""

from collections.abc import Iterator
from math import prod

import keras
from keras import layers


def in_words(model: keras.Model) -> str:
    """Return the widths of convolution and dense layers, such as `conv 32-64 · dense 128-10`."""
    parts = []
    for word, kinds, width in (
        ("conv", layers.Conv2D | layers.SeparableConv2D, "filters"),
        ("dense", layers.Dense, "units"),
    ):
        widths = [getattr(layer, width) for layer in _flat(model) if isinstance(layer, kinds)]
        if len(widths) > 6:  # a deep network is described by its depth
            parts.append(f"{len(widths)} {word} layers")
        elif widths:
            parts.append(f"{word} {'-'.join(map(str, widths))}")
    return " · ".join(parts) or f"{len(model.layers)} layers"


def size_of(model: keras.Model) -> dict[str, int]:
    """Return `parameters` and `multiply_accumulates` of a model.

    Either is missing if it is unknown: a model that is not built has no weights, and a subclass or
    a nested subclass does not reveal the output shapes of its layers.
    """
    if not model.built:
        return {}
    size = {"parameters": int(model.count_params())}
    if (operations := multiply_accumulates(model)) is not None:
        size["multiply_accumulates"] = operations
    return size


def multiply_accumulates(model: keras.Model) -> int | None:
    """Return the number of multiply-accumulate operations to predict one image; None if unknown.

    Convolutions count (output pixels) x (kernel weights), dense layers their kernel weights. It is
    unknown if another kind of layer has a kernel, such as a transposed convolution. Nothing else is
    counted, because it is little beside these.
    """
    total = 0
    try:
        for layer in _flat(model):
            if isinstance(layer, layers.Dense):
                total += prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
            elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
                total += prod(layer.output.shape[1:3]) * prod(layer.kernel.shape)
            elif isinstance(layer, layers.SeparableConv2D):
                kernels = prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
                total += prod(layer.output.shape[1:3]) * kernels
            elif any("kernel" in weight.name for weight in layer.weights):
                return None
    except (AttributeError, ValueError, TypeError):  # a layer with an unknown output shape
        return None
    return total


def training_bytes(model: keras.Model, batch_size: int) -> int | None:
    """Return a lower bound on the memory of a training step, in bytes; None if unknown.

    It counts four bytes for each weight, its gradient and the optimizer's two moments, and for each
    output value of a layer and its gradient. The buffers of convolutions are not included.

    Args:
        model: The model.
        batch_size: The number of images in a batch.
    """
    try:
        outputs = sum(
            prod(size for size in tensor.shape[1:] if size)
            for layer in _flat(model)
            for tensor in keras.tree.flatten(layer.output)
        )
        return int(4 * (4 * model.count_params() + 2 * batch_size * outputs))
    except (AttributeError, ValueError, TypeError):
        return None


def _flat(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer
