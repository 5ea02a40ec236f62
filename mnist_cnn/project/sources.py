"""The project's code that a run depends on: stored with it, and restored for a replay.

It consists of the files that define the search space and the data set, and of every file of the
project that these import. In experiments/ only what is used counts, and what changes another
module, because an experiment's fields are compared as values. Comments and docstrings never count.
"""

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from mnist_cnn.project.syntax import LAMBDA, code, imported, used

EXPERIMENTS = "experiments"


@dataclass(frozen=True)
class Source:
    """A module of the project.

    Attributes:
        text: The text of its file when the module was imported.
        is_package: Whether the file is the __init__.py of a folder.
    """

    text: str
    is_package: bool = False


def sources_of(*definitions: Any) -> dict[str, Source]:
    """Return the project's modules, by name, on which functions, classes or objects depend."""
    return {name: found for name, (found, _) in _reached(definitions).items()}


def normalized(*definitions: Any, module: str = "") -> dict[str, str]:
    """Return the code that counts of the same modules, by name, without comments and docstrings.

    Args:
        definitions: Functions, classes or objects.
        module: The module of their experiment. What it changes in other modules counts too.
    """
    return {name: code for name, (_, code) in _reached(definitions, module).items()}


def unwatched(*definitions: Any) -> list[Path]:
    """Return the files that the same modules import, and whose edits do not count.

    They are neither in the project nor installed, such as those of a folder in PYTHONPATH. Other
    machines have them at other paths or as packages, so they cannot count.
    """
    names = {str(definition.__module__) for definition in _definitions(definitions)}
    for name, (source, counts) in _reached(definitions).items():
        body = ast.parse(counts).body
        names |= {each for each, _ in imported(body, name, source.is_package, set())}
    return sorted({file for name in names if (file := _file_outside(name))})


def current(name: str) -> Source | None:
    """Return a module of the project as its file is now; None if there is no file."""
    if name.partition(".")[0] == "mnist_cnn":  # this package counts by its version
        return None
    place = Path.cwd().joinpath(*name.split("."))
    for file, is_package in (
        (place.with_name(f"{place.name}.py"), False),
        (place / "__init__.py", True),
    ):
        if file.is_file():
            return Source(importlib.util.decode_source(file.read_bytes()), is_package)
    return None


def bring_back(modules: Mapping[str, Source], folder: Path) -> None:
    """Make this process import modules from these texts instead of their files.

    None of them may have been imported yet.

    Args:
        modules: The modules by name.
        folder: A folder for their files. It must remain while the process runs.
    """
    files = {}
    for name, source in modules.items():
        files[name] = folder / f"{name}.py"
        files[name].write_text(source.text, encoding="utf-8")
    _brought_back.update(modules)
    sys.meta_path.insert(0, _Recorded(files))


def is_hyper_model(space: Any) -> bool:
    """Return whether `space` is a KerasTuner HyperModel, not a function."""
    keras_tuner = sys.modules.get("keras_tuner")  # without it there cannot be a HyperModel
    return keras_tuner is not None and isinstance(space, keras_tuner.HyperModel)


def _file_outside(name: str) -> Path | None:
    """Return the file of an imported module, unless that is in the project or installed."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or name.partition(".")[0] in {*sys.stdlib_module_names, "mnist_cnn"}:
        return None
    installed = {"site-packages", "dist-packages"} & {*Path(file).parts}
    return None if installed or _read(name) else Path(file)


_brought_back: dict[str, Source] = {}
_as_imported: WeakKeyDictionary[ModuleType, Source | None] = WeakKeyDictionary()


class _Recorded(MetaPathFinder):
    """Imports modules from stored files instead of their own."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._files:
            return None
        places = [str(Path(*name.split(".")))] if _brought_back[name].is_package else None
        return importlib.util.spec_from_file_location(
            name, self._files[name], submodule_search_locations=places
        )


def _definitions(value: Any, seen: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Yield the functions and classes in a value: of a partial, a closure, an object's settings."""
    if id(value) in seen:
        return
    seen |= {id(value)}
    parts: list[Any] = []
    if isinstance(value, partial):
        parts = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif inspect.ismethod(value):
        yield value.__func__
        parts = [] if is_hyper_model(value.__self__) else [value.__self__]
    elif hasattr(value, "__qualname__"):
        yield value
        parts = list(inspect.getclosurevars(value).nonlocals.values()) if _is_closure(value) else []
    elif callable(value) or is_hyper_model(value):
        yield type(value)
        parts = list(vars(value).values()) if hasattr(value, "__dict__") else []
    for part in parts:
        yield from _definitions(part, seen)


def _is_closure(value: Any) -> bool:
    return inspect.isfunction(value) and bool(value.__closure__)


def _name_of(definition: Any) -> str:
    """Return the name that a module gives a definition. A lambda is identified by its line."""
    name = str(definition.__qualname__)
    if name == LAMBDA:
        return f"{LAMBDA}{definition.__code__.co_firstlineno}"
    return name.partition(".")[0]


def _reached(definitions: Sequence[Any], module: str = "") -> dict[str, tuple[Source, str]]:
    """Return each module that is reached, with its text and the part of its code that counts."""
    wanted: dict[str, set[str]] = {}  # the definitions that count in modules of experiments/
    pending = [(module, "<module>")] if module else []  # no definition has this name
    for definition in _definitions(definitions):
        if definition.__module__ and _read(definition.__module__):
            pending.append((definition.__module__, _name_of(definition)))
    found: dict[str, tuple[Source, str]] = {}
    while pending:
        name, definition = pending.pop()
        source = _read(name)
        if source is None:
            continue
        in_part = name.partition(".")[0] == EXPERIMENTS
        if name in found and (not in_part or definition in wanted[name]):
            continue
        wanted.setdefault(name, set()).add(definition)
        tree = ast.parse(source.text)
        body = used(tree, wanted[name]) if in_part else tree.body
        found[name] = source, code(body)
        pending += imported(body, name, source.is_package, wanted[name])
    return dict(sorted(found.items()))


def _read(name: str) -> Source | None:
    """Return a module's source as it was imported; None if it is not part of the project."""
    if name in _brought_back:
        return _brought_back[name]
    module = sys.modules.get(name)
    if module is None:
        return current(name)
    if module not in _as_imported:  # the file may be edited while a search is running
        _as_imported[module] = current(name)
    return _as_imported[module]
