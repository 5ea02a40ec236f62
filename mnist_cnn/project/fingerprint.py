"""The fingerprint of an experiment: equal for experiments whose trials are comparable."""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from mnist_cnn.experiment import Experiment
from mnist_cnn.project import sources


@dataclass(frozen=True)
class _Noted:
    """What is compared of an experiment.

    Attributes:
        texts: Each field as text.
        code: The code on which its callables depend, by the name of the module.
    """

    texts: dict[str, str]
    code: dict[str, str]


def note(experiment: Experiment, module: str = "") -> None:
    """Note what is compared of an experiment, before anything is built. Only the first call counts.

    A HyperModel may keep what it builds, and a file may be edited while a search is running.

    Args:
        experiment: The experiment.
        module: The module that defines it, if it was loaded from one.
    """
    if _NOTED not in vars(experiment):
        texts = {item.name: _text(getattr(experiment, item.name)) for item in fields(experiment)}
        callables = (experiment.space, experiment.dataset, experiment.sampler, experiment.pruner)
        vars(experiment)[_NOTED] = _Noted(texts, sources.normalized(*callables, module=module))


def _noted(experiment: Experiment) -> _Noted:
    note(experiment)
    found: _Noted = vars(experiment)[_NOTED]
    return found


_NOTED = "_noted"  # the attribute of an experiment, like that of a cached property


def describe(experiment: Experiment) -> dict[str, str]:
    """Return each field of an experiment as text. Callables are given by name and arguments."""
    return dict(_noted(experiment).texts)


# A study may continue with another budget, and however it began, so these fields do not affect
# comparability.
_BUDGET = {"trials", "timeout_seconds", "trial_timeout_seconds", "confirm", "warm_start"}


def comparable(experiment: Experiment) -> dict[str, str]:
    """The fields, as text, that must be equal for two trials to be comparable."""
    facts = {name: text for name, text in describe(experiment).items() if name not in _BUDGET}
    # The length of a confirmation: scores after different lengths are not comparable.
    return facts | {"confirm.epochs": _text(experiment.confirm.epochs)}


def fingerprint(experiment: Experiment) -> str:
    """Return a digest of everything that makes two trials of an experiment comparable.

    It covers the fields, the project's code on which the space, the data set, the sampler and the
    pruner depend, the digest of the data set, and the version of this package. Trials with
    different fingerprints never share a study.
    """
    facts: dict[str, Any] = dict(comparable(experiment))
    facts["sources"] = _noted(experiment).code
    facts["data"] = experiment.opened_dataset.digest
    facts["version"] = version("mnist-cnn")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, partial):
        given = [_text(item) for item in value.args]
        given += [f"{name}={_text(item)}" for name, item in value.keywords.items()]
        return f"{_text(value.func)}({', '.join(given)})"
    if inspect.ismethod(value) and not inspect.isclass(value.__self__):
        return f"{_text(value.__self__)}.{value.__name__}"
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}{_closure(value)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, set | frozenset):  # whose own order differs from process to process
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    if is_dataclass(value):
        shown = [item.name for item in fields(value) if item.repr]
        given = [f"{name}={_text(getattr(value, name))}" for name in shown]
        return f"{type(value).__qualname__}({', '.join(given)})"
    if (
        getattr(type(value), "__repr__", None) is object.__repr__
    ):  # a HyperModel or a pruner is described by its settings
        given = [
            f"{name}={_text(item)}"
            for name, item in sorted(getattr(value, "__dict__", {}).items())
            if getattr(item, "__self__", None) is not value  # KerasTuner wraps `build`
        ]
        return f"{type(value).__module__}.{type(value).__qualname__}({', '.join(given)})"
    return _ADDRESS.sub("", repr(value))


def _closure(function: Any) -> str:
    """Return the closure of a function, as text."""
    cells = getattr(function, "__closure__", None) or ()
    kept = [cell.cell_contents for cell in cells if _is_filled(cell)]
    texts = [_text(value) for value in kept if value is not function]
    return f"[{', '.join(texts)}]" if texts else ""


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # nothing was assigned yet
        return False


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
