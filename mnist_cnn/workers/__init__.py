"""Processes that take calls and may die."""
