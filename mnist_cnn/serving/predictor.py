"""A Keras model, compiled for batches of fixed sizes.

`model.predict` sets up a data pipeline at each call, for tens of milliseconds, and a function that
takes any batch size is traced anew for each. So there is one traced function for each power of two,
and a batch is padded up to the next: at most twice the work, and no tracing after the start.
"""

import numpy as np
import tensorflow as tf
from keras import Model
from numpy.typing import NDArray

LARGEST = 128


class Predictor:
    """Calls the model, from any thread. Building it traces and runs it once for every size."""

    def __init__(self, model: Model) -> None:
        self._shape = tuple(model.input_shape[1:])
        function = tf.function(lambda images: model(images, training=False), autograph=False)
        self._functions = {
            size: function.get_concrete_function(tf.TensorSpec((size, *self._shape), tf.float32))
            for size in _powers_of_two(LARGEST)
        }
        for size in self._functions:
            self(np.zeros((size, *self._shape), np.float32))

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of shape (n, classes) for images of shape (n, height, width, channels)."""
        chunks = [images[start : start + LARGEST] for start in range(0, len(images), LARGEST)]
        return np.concatenate([self._call(chunk) for chunk in chunks])

    def _call(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(images)
        size = 1 << (count - 1).bit_length()
        if size > count:
            images = np.concatenate([images, np.zeros((size - count, *self._shape), np.float32)])
        answer = self._functions[size](tf.constant(images)).numpy()
        return np.asarray(answer[:count], dtype=np.float32)


def _powers_of_two(largest: int) -> list[int]:
    return [1 << power for power in range(largest.bit_length())]
