"""`make setup`: an environment for each folder, whole or not at all. A script stands for uv."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from projects import ROOT

# It installs nothing, and notes that in the file `installed` of the project. If there is a FIFO
# `gate`, it waits there. The command of its environments prints where its package is.
UV = r"""#!/bin/sh
set -eu
case "$*" in
    venv*)
        mkdir -p "$5/bin"
        ln -s "$4" "$5/bin/python"
        cp "$0" "$5/bin/uv"
        ;;
    *--editable*)
        printf '#!/bin/sh\necho the package of %s\n' "$PWD" >"$VIRTUAL_ENV/bin/mnist-cnn"
        chmod +x "$VIRTUAL_ENV/bin/mnist-cnn"
        ;;
    pip\ compile*--extra\ jax*) exit 1 ;;
    pip\ compile*) ;;
    *)
        echo "$VIRTUAL_ENV" >>installed
        if [ -p gate ]; then
            echo installing
            read -r _ <gate
        fi
        ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    """A project to set up, and beside it `bin` with Python and uv."""
    root, tools = tmp_path / "project", tmp_path / "bin"
    root.mkdir()
    tools.mkdir()
    for name in ("Makefile", "setup.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    (root / "requirements.lock").write_text("some==1\n")
    (tools / "uv").write_text(UV)
    (tools / "uv").chmod(0o755)
    (tools / "python3.11").symlink_to(os.path.realpath(sys.executable))
    return root


def started(root, target="setup", **environment):
    """`make` in a project, in a session of its own."""
    of_another_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")
    clean = {name: text for name, text in os.environ.items() if name not in of_another_make}
    path = f"{root.parent / 'bin'}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["make", target],
        cwd=root,
        env=clean | {"PATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def make(root, target="setup", **environment):
    """What `make` printed, which has to succeed."""
    process = started(root, target, **environment)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return printed


def installed(root):
    """The environments into which packages were installed, in order."""
    return (root / "installed").read_text().split()


def environments(root):
    return {path.name for path in root.glob(".venv-?*") if path.is_dir()}


def test_the_packages_are_installed_once(project):
    assert make(project, "search").splitlines()[1:] == [f"the package of {project}"]
    assert make(project, "search") == f"the package of {project}\n"
    assert installed(project) == [str((project / ".venv").readlink())]


def test_a_copy_has_an_environment_of_its_own_and_its_own_package(project):
    make(project)
    copy = project.with_name("copy")
    shutil.copytree(project, copy, symlinks=True)
    assert make(copy, "search").splitlines()[-1] == f"the package of {copy}"
    assert make(copy, "search") == f"the package of {copy}\n"
    assert make(project, "search") == f"the package of {project}\n"


def test_a_project_that_was_moved_is_set_up_again_and_moved_back_it_is_not(project):
    make(project)
    moved = project.rename(project.with_name("moved"))
    assert make(moved, "search").splitlines()[-1] == f"the package of {moved}"
    assert len(installed(moved)) == 2
    moved.rename(project)
    assert make(project, "search").splitlines()[-1] == f"the package of {project}"
    assert make(project, "search") == f"the package of {project}\n"
    assert len(installed(project)) == 2


def test_when_its_python_is_gone_another_one_gets_an_environment(project):
    tools = project.with_name("bin")
    (tools / "python3.11").unlink()
    for name in ("python3.11", "python3.12"):
        shutil.copy(os.path.realpath(sys.executable), tools / name)
    make(project, PYTHONHOME=sys.base_prefix)
    python = project / ".venv/bin/python"
    assert python.resolve() == tools / "python3.11"
    (tools / "python3.11").unlink()
    assert not python.exists()
    make(project, PYTHONHOME=sys.base_prefix)
    assert python.exists()
    assert len(installed(project)) == 2


def test_a_new_lock_makes_a_new_environment_and_says_what_it_lacks(project):
    again = "if you had added packages, such as for a GPU, JAX or Ray, add them again"
    assert again not in make(project)
    (project / "requirements.lock").write_text("some==2\n")
    assert again in make(project)
    first, second = installed(project)
    assert environments(project) == {first, second}
    # A search may still run in the first one: the same environment, made again, does not remove it.
    (project / "pyproject.toml").touch()
    assert make(project) == ""
    assert environments(project) == {first, second}
    (project / "requirements.lock").write_text("some==3\n")
    make(project)
    assert environments(project) == set(installed(project)[1:])


def test_of_two_at_once_the_second_waits_and_finds_it_done(project):
    os.mkfifo(project / "gate")
    first = started(project)
    second = None
    try:
        assert [first.stdout.readline() for _ in range(2)][1] == "installing\n"
        second = started(project, "search")
        assert second.stdout.readline() == "setup: waiting for another one in this folder\n"
        (project / "gate").write_text("go on\n")
        assert first.communicate() == ("", None)
        assert second.communicate() == (f"the package of {project}\n", None)
    finally:
        for process in filter(None, (first, second)):
            kill(process)
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(installed(project)) == 1


def test_after_a_kill_the_next_one_starts_over(project):
    os.mkfifo(project / "gate")
    first = started(project)
    assert [first.stdout.readline() for _ in range(2)][1] == "installing\n"
    kill(first)
    (project / "gate").unlink()
    assert "waiting" not in make(project)
    assert len(installed(project)) == 2


def kill(process):
    """Kill it and all that it has started, if it runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_lock_of_an_extra_that_cannot_be_made_is_an_error(project):
    make(project)
    process = started(project, "lock")
    printed, _ = process.communicate()
    assert process.returncode != 0, printed
