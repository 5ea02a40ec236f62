"""Which files of a project are sent to the nodes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from mnist_cnn.errors import UserError
from mnist_cnn.workers.cluster.shipping import largest, sent_files, stage


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "my prö ject"
    for name in ("experiments/one.py", "search_spaces/one.py", "helper.py", "notes/ä.txt"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


EVERYTHING = ["experiments/one.py", "helper.py", "notes/ä.txt", "search_spaces/one.py"]


def sent(root):
    return [str(file) for file in sent_files(root)]


def git(root, *arguments):
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def test_results_environments_and_caches_are_not_sent(root):
    for name in ("mlruns/mlflow.db", ".git/config", "own env/pyvenv.cfg", "own env/lib/keras.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in ("notes/__pycache__/x.pyc", "mine.egg-info/PKG-INFO", "notes/mlruns/kept.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert sent(root) == sorted([*EVERYTHING, "notes/mlruns/kept.txt"])


def test_a_pipe_a_socket_a_broken_link_and_a_loop_are_left_out(root, monkeypatch):
    monkeypatch.chdir(root)  # the address of a socket is short
    os.mkfifo("pipe")
    Path("loop").symlink_to(".")
    Path("notes/up").symlink_to("..")
    Path("broken").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        assert sent(root) == EVERYTHING


def test_links_to_other_folders_are_followed(root, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/images.npy").write_text("images")
    (root / "shared").symlink_to(tmp_path / "shared")
    (root / "alias.py").symlink_to("helper.py")
    assert sent(root) == sorted([*EVERYTHING, "alias.py", "shared/images.npy"])


@pytest.mark.parametrize("repository", [True, False])
def test_what_git_ignores_is_not_sent(root, repository):
    for name in ("large.npz", "out/a.txt", "out/b.txt", "notes/large.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / ".gitignore").write_text("*.npz\n/out\n")
    if repository:
        git(root, "init", "-q")
    assert sent(root) == sorted([*EVERYTHING, ".gitignore"])


def test_a_project_in_a_folder_of_a_repository_has_its_rules(root):
    git(root.parent, "init", "-q")
    (root.parent / ".gitignore").write_text("*.npz\n")
    (root / "large.npz").touch()
    (root / "wanted.npz").touch()
    git(root, "add", "-f", "wanted.npz")
    assert sent(root) == sorted([*EVERYTHING, "wanted.npz"])


def test_an_unreadable_gitignore_ignores_nothing(root):
    (root / ".gitignore").write_bytes(b"\xff\xfe\n[\n!\n/\n\\\n")
    assert sent(root) == sorted([*EVERYTHING, ".gitignore"])


def test_without_git_everything_is_sent(root, monkeypatch):
    (root / ".gitignore").write_text("*\n")
    monkeypatch.setenv("PATH", "/nowhere")
    assert sent(root) == sorted([*EVERYTHING, ".gitignore"])


def test_the_staged_folder_has_the_same_files(root, tmp_path):
    target = tmp_path / "staged"
    target.mkdir()
    stage(root, target)
    assert [str(path.relative_to(target)) for path in sorted(target.rglob("*.*"))] == EVERYTHING
    assert (target / "notes/ä.txt").read_text() == "notes/ä.txt"


def test_a_name_that_is_not_utf8_is_refused_by_name(root, tmp_path):
    Path(os.fsdecode(bytes(root) + b"/bad\xff.txt")).touch()
    with pytest.raises(
        UserError, match=r"the name of 'bad\\udcff.txt' is not UTF-8, so Ray cannot"
    ):
        stage(root, tmp_path)


def test_the_largest_file_is_named(root):
    (root / "images.npy").write_bytes(bytes(3 * 2**20))
    words = largest(root, sent_files(root))
    assert words == "3 MiB, of which images.npy has 3 MiB"
