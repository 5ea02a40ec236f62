"""Checks of the fields of an experiment, which people write. Each refusal says what is valid."""

import sys
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from mnist_cnn import datasets
from mnist_cnn.datasets import Dataset
from mnist_cnn.errors import UserError


def take_whole_number(owner: Any, name: str, least: int | None = 1, none: bool = False) -> None:
    """Refuse a field that is not a whole number, and turn one of NumPy into Python's.

    Args:
        owner: An object of a frozen dataclass.
        name: The name of its field.
        least: The least valid number, if there is one.
        none: Whether None is valid too.
    """
    value = getattr(owner, name)
    if none and value is None:
        return
    if not is_number(value, Integral) or (least is not None and value < least):
        at_least = "" if least is None else f" of at least {least}"
        raise UserError(
            f"{type(owner).__name__}: {name}={value!r} must be a whole number{at_least}"
            f"{', or None' if none else ''}"
        )
    object.__setattr__(owner, name, int(value))


def take_baselines(owner: Any, name: str) -> None:
    """Refuse a field that holds no configurations, and turn values of NumPy into Python's.

    Optuna's storage does not take NumPy's.

    Args:
        owner: An object of a frozen dataclass.
        name: The name of its field: a configuration, or a tuple or list of some.
    """
    value = getattr(owner, name)
    if isinstance(value, Mapping):
        taken: Any = _plain(value)
    elif are(Mapping, value):
        taken = tuple(map(_plain, value))
    else:
        raise UserError(
            f"{type(owner).__name__}: {name}={value!r} must be a dictionary with values of "
            "hyperparameters, such as {'units': 64}, or a tuple of some"
        )
    object.__setattr__(owner, name, taken)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v.item() if _is_one_of_numpy(v) else v for n, v in values.items()}


def _is_one_of_numpy(value: object) -> bool:
    return isinstance(value, np.generic | np.ndarray) and value.ndim == 0


def is_number(value: object, kind: type) -> bool:
    """Return whether a value is a number of a kind. True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def are(kind: type, value: Any) -> bool:
    """Return whether a value is a tuple or list of objects of a kind."""
    return isinstance(value, tuple | list) and all(isinstance(one, kind) for one in value)


def check_space(space: Any) -> None:
    """Refuse a space that cannot be called, or that has been called already."""
    keras_tuner, keras = sys.modules.get("keras_tuner"), sys.modules.get("keras")
    # What is not imported cannot be here.
    hyper_model, model = getattr(keras_tuner, "HyperModel", ()), getattr(keras, "Model", ())
    if isinstance(space, type) and issubclass(space, hyper_model):
        raise UserError(
            f"Experiment: space= takes an object of the class {space.__name__}; write "
            f"space={space.__name__}()"
        )
    if isinstance(space, model):
        raise UserError(
            "Experiment: space= takes a function that returns a model, not a model; write the "
            "function's name without parentheses"
        )
    if not callable(space) and not isinstance(space, hyper_model):
        raise UserError(
            f"Experiment: space={space!r} must be a function of hp that returns a compiled model, "
            "or a keras_tuner.HyperModel"
        )


def check_dataset(dataset: Any) -> None:
    """Refuse a data set that is no function, or that has been called already."""
    if isinstance(dataset, Dataset):
        known = callable(getattr(datasets, dataset.name, None))
        what = f"dataset={dataset.name}" if known else "the function's name"
        raise UserError(
            "Experiment: dataset= takes a function that returns a Dataset; write "
            f"{what}, without parentheses"
        )
    if not callable(dataset):
        raise UserError(
            f"Experiment: dataset={dataset!r} must be a function that returns a Dataset"
        )


def name_of(function: Any) -> str:
    """Return the name of a function for a message, or of the class of what has no name."""
    return str(getattr(function, "__qualname__", type(function).__name__))
