"""A failure in one line: what Keras and TensorFlow write around the reason is left out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from mnist_cnn.training.failure import one_line


def test_an_operation_that_fails_in_a_graph_is_told_by_its_reason():
    model = keras.Sequential([layers.Dense(10, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["mse"], jit_compile=False)
    x, y = np.zeros((8, 2), np.float32), np.zeros(8, np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError) as failure:
        model.fit(x, y, verbose=0)
    told = one_line(failure.value)
    assert told.startswith("InvalidArgumentError: Graph execution error: Incompatible shapes: [8]")
