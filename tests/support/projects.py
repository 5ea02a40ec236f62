"""A project's root for tests that search, and the command line in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def copy_project(root):
    """Copy the repository's experiments and search spaces to the folder `root`, and return it."""
    for name in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def forget_experiments():
    """Make the next `load_experiment` read the files again, as a new process does."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("experiments", "search_spaces"):
            del sys.modules[name]


def clean_environment():
    """The environment without the tracking URI, which MLflow sets in a process that used it."""
    return {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}


def command(*arguments, cwd, **environment):
    """Run `mnist-cnn` with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mnist_cnn", *arguments],
        cwd=cwd,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
