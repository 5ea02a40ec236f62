"""Optuna's state, and what decides on it."""
