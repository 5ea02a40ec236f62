"""Benchmarks take hours, so what they import of the project is checked here."""

import ast
import importlib

import pytest
from projects import ROOT

FILES = sorted((ROOT / "benchmarks").rglob("*.py"))
PROJECT = ("mnist_cnn", "experiments", "search_spaces", "benchmarks")


def imported(file):
    """The (module, name) pairs that a file imports of the project, in functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PROJECT:
            for alias in node.names:
                yield node.module, alias.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_a_benchmark_imports_of_the_project_exists(file):
    for module, name in imported(file):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] in PROJECT:
                raise
            continue  # a package of an extra
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
