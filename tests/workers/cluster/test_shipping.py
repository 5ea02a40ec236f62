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


def test_a_link_into_what_is_not_sent_or_around_the_project_is_not_followed(root):
    (root / "mlruns/checkpoints").mkdir(parents=True)
    (root / "mlruns/checkpoints/model.keras").touch()
    (root / "runs").symlink_to("mlruns/checkpoints")
    (root / "up").symlink_to("..")
    (root.parent / "sibling.txt").touch()
    assert sent(root) == EVERYTHING


def test_a_folder_is_sent_under_its_name_and_under_that_of_a_link(root):
    (root / "a").symlink_to("experiments")
    assert sent(root) == sorted([*EVERYTHING, "a/one.py"])


def test_a_project_that_is_itself_a_link_is_sent(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert sent(tmp_path / "link") == EVERYTHING


@pytest.mark.parametrize("repository", [True, False])
@pytest.mark.parametrize("rule", ["data/", "/data/", "data", "d*"])
def test_a_linked_folder_that_git_ignores_is_not_sent(root, tmp_path, rule, repository):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.png").touch()
    (root / "data").symlink_to(tmp_path / "images")
    (root / ".gitignore").write_text(f"{rule}\n")
    if repository:
        git(root, "init", "-q")
    assert sent(root) == EVERYTHING


def test_a_repository_in_the_project_has_its_own_rules(root):
    git(root, "init", "-q")
    inner = root / "libs/foo"
    (inner / "data").mkdir(parents=True)
    (inner / "data/1.png").touch()
    (inner / "foo.py").touch()
    (inner / ".gitignore").write_text("data/\n")
    git(inner, "init", "-q")
    assert sent(root) == sorted([*EVERYTHING, "libs/foo/foo.py"])


def test_a_project_that_an_outer_repository_ignores_has_its_own_rules(root):
    git(root.parent, "init", "-q")
    (root.parent / ".gitignore").write_text("*\n")
    (root / ".gitignore").write_text("*.npz\n")
    (root / "large.npz").touch()
    assert sent(root) == EVERYTHING


def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch):
    (root / "pgdata").mkdir()
    listed = Path.iterdir

    def refuse(folder):
        if folder.name == "pgdata":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)  # to root, everything is readable
    with pytest.raises(UserError, match=r"^pgdata cannot be read, so it cannot be sent"):
        sent_files(root)


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
    assert sent(root) == EVERYTHING


def test_a_project_in_a_folder_of_a_repository_has_its_rules(root):
    git(root.parent, "init", "-q")
    (root.parent / ".gitignore").write_text("*.npz\n")
    (root / "large.npz").touch()
    (root / "wanted.npz").touch()
    git(root, "add", "-f", "wanted.npz")
    assert sent(root) == sorted([*EVERYTHING, "wanted.npz"])


def test_an_unreadable_gitignore_ignores_nothing(root):
    (root / ".gitignore").write_bytes(b"\xff\xfe\n[\n!\n/\n\\\n")
    assert sent(root) == EVERYTHING


def test_without_git_everything_is_sent(root, monkeypatch):
    (root / ".gitignore").write_text("*\n")
    monkeypatch.setenv("PATH", "/nowhere")
    assert sent(root) == EVERYTHING


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
