"""A project's root of its own, for tests that search."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def copy_project(root):
    """Copy the repository's experiments and search spaces to the folder `root`, and return it."""
    for name in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root
