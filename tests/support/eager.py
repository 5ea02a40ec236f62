"""Keras without tracing: it takes longer to trace a network than to compute a few steps of it."""

from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def eagerly():
    """Have Keras compute step by step."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
