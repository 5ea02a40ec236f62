"""The text of the file that defines a search space: kept with each run, and brought back by it."""

import functools
import importlib.util
import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Any


def text(space: Any) -> str:
    """The text of the file that defines `space`."""
    definition = _definition(space)
    return _source(inspect.getmodule(definition) or definition)


def module(space: Any) -> str:
    """The name of the module that defines `space`."""
    return str(_definition(space).__module__)


def bring_back(name: str, file: Path) -> None:
    """Make the text in `file` the module `name`, whatever its own file says by now.

    For a process in which nothing has imported the module yet. Raises what the text raises.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)


def is_hyper_model(space: Any) -> bool:
    """Whether `space` is a KerasTuner HyperModel, not a function."""
    keras_tuner = sys.modules.get("keras_tuner")  # who has a HyperModel has imported it
    return keras_tuner is not None and isinstance(space, keras_tuner.HyperModel)


@functools.cache  # as it was imported: the file may be edited while a search goes on
def _source(defined_in: Any) -> str:
    return inspect.getsource(defined_in)


def _definition(space: Any) -> Any:
    """The function, or the class of the HyperModel."""
    definition = space.func if isinstance(space, partial) else space
    return type(definition) if is_hyper_model(definition) else definition
