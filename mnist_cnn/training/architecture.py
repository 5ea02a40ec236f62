"""What a built model is: its layers in a few words, its size, its arithmetic."""

from collections.abc import Iterator
from math import prod

import keras
from keras import layers


def in_words(model: keras.Model) -> str:
    """Return the convolution and dense widths in order, as in `conv 32-64 · dense 128-10`."""
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


def size_of(model: keras.Model) -> dict[str, int]:
    """Return `parameters` and `multiply_accumulates`, as far as they can be told.

    A model that is not built has no weights to count, and a subclass or a nested block of one does
    not tell the shapes of what its layers give out.
    """
    if not model.built:
        return {}
    size = {"parameters": int(model.count_params())}
    if (operations := multiply_accumulates(model)) is not None:
        size["multiply_accumulates"] = operations
    return size


def multiply_accumulates(model: keras.Model) -> int | None:
    """Return the multiply-accumulate operations of one image's forward pass, or None.

    Counted are convolutions, (output pixels) x (kernel weights), and dense layers, their kernel's
    weights. The rest is left out, as is customary (Sovrasov, "ptflops", 2018-2024).
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
    except (AttributeError, ValueError, TypeError):  # a layer whose output is not known
        return None
    return total


def training_bytes(model: keras.Model, batch_size: int) -> int | None:
    """Return about how much memory a training step takes, from below; None if it cannot be told.

    Four bytes for each weight, its gradient and the optimizer's two moments, and for each value
    that a layer gives out and its gradient. Buffers of the convolutions come on top.

    Args:
        model: The model.
        batch_size: How many images a batch has.
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
