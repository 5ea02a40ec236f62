"""A project's root for tests that search, and the command line in it."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from mnist_cnn.cli import main

ROOT = Path(__file__).parent.parent.parent


def tracked(pattern):
    """The repository's files of this pattern, without those that git does not track.

    Such a file is a user's own, and need not keep to the project's rules. Outside of git all count.
    """
    known = set()
    if shutil.which("git"):
        command = ["git", "ls-files", "-z"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        known = {ROOT / name for name in done.stdout.split("\0") if name}
    return sorted(path for path in ROOT.glob(pattern) if not known or path in known)


def copy_project(root):
    """Copy the repository's experiments and search spaces to the folder `root`, and return it."""
    for name in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@cache
def _empty_database():
    """A folder with MLflow's database, without runs. MLflow takes two seconds to make its tables.

    It exists until the tests end, since MLflow keeps the database open.
    """
    from mnist_cnn.tracking.client import connect  # imports MLflow

    folder = tempfile.TemporaryDirectory()
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow itself sets it to the last project's
    connect(Path(folder.name))
    return folder


def copy_database(mlruns):
    """Put an empty database of MLflow into the folder `mlruns`."""
    mlruns.mkdir(exist_ok=True)
    shutil.copy(Path(_empty_database().name) / "mlflow.db", mlruns)


@contextmanager
def connected(folder):
    """The client of an empty registry, in a folder that is the current project meanwhile."""
    from mnist_cnn.registry import store  # imports MLflow

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        copy_database(Path("mlruns"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield store.connect()


def forget_experiments():
    """Make the next `load_experiment` read the files again, as a new process does."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("experiments", "search_spaces"):
            del sys.modules[name]


def without_root(search_path):
    """The search path without the repository's root, whose experiments stand there as well."""
    return [entry for entry in search_path if Path(entry).resolve() != ROOT]


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
        timeout=600,
        check=False,
    )


def here(*arguments, cwd, **environment):
    """Run `mnist-cnn` in this process, and return what `command` returns.

    A new process would first import TensorFlow and MLflow, which takes most of a command's time.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "path", [str(cwd), *without_root(sys.path)])
        # Both, so that what MLflow sets is gone afterwards.
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.delenv("MLFLOW_TRACKING_URI")
        for name, text in environment.items():
            patch.setenv(name, text)
        forget_experiments()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        forget_experiments()
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())
