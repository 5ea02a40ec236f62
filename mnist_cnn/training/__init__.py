"""Keras: what happens in worker processes only."""
