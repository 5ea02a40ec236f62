"""The names by which experiments and their data are known."""

import os
import re
import subprocess

import pytest

from mnist_cnn.experiment_id import ExperimentId, data_name, experiment_id, search_command

UNDECODED = os.fsdecode(b"\xff")


def test_without_data_the_name_is_the_files():
    assert experiment_id(None) == ExperimentId("mnist")
    assert experiment_id("smoke").name == "smoke"
    assert experiment_id("smoke").for_make == "EXPERIMENT=smoke"
    assert experiment_id("smoke").for_command == "smoke"


def test_data_without_a_name_are_those_of_images(tmp_path):
    found = experiment_id(None, tmp_path / "shoes")
    assert found == ExperimentId("images", str(tmp_path / "shoes"))
    assert re.fullmatch("images-shoes-[a-p]{6}", found.name)
    assert found.for_make == f"DATA={tmp_path}/shoes"
    assert experiment_id("mine", tmp_path).for_command == f"mine --data {tmp_path}"


def test_a_relative_path_a_link_and_a_home_are_the_same_data(tmp_path, monkeypatch):
    (tmp_path / "shoes").mkdir()
    (tmp_path / "link").symlink_to("shoes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = experiment_id(None, tmp_path / "shoes")
    for path in ("shoes", "./shoes/", "link", "~/shoes", "link/../shoes"):
        assert experiment_id(None, path) == wanted


def test_two_folders_of_one_name_are_two_data_sets():
    assert data_name("/a/shoes") != data_name("/b/shoes")
    assert data_name("/a/shoes") == data_name("/a/shoes")


ODD_NAMES = [
    "a b",
    "a'b\"c",
    "ä",
    "..x",
    "-x",
    "x" * 300,
    "a\nb",
    "a/",
    "1234",
    os.fsdecode(b"\xff"),
    "$(x)",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_gives_one_that_a_file_a_study_and_mlflow_can_have(name):
    found = experiment_id(None, f"/nowhere/{name}")
    assert re.fullmatch("images-[A-Za-z0-9_]{1,32}-[a-p]{6}", found.name)


@pytest.mark.parametrize("name", [*ODD_NAMES, "a\\n'\n$y", "\x1b[31m"])
def test_what_to_type_is_one_line_from_which_the_shell_and_make_read_the_path(name, tmp_path):
    found = ExperimentId("images", f"/nowhere/{name}")
    (tmp_path / "Makefile").write_text('search:\n\t@printf %s "$$DATA"\n')
    for line in (f"printf %s {found.for_command}", f"make -s search {found.for_make}"):
        assert line.isprintable()
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
        assert os.fsdecode(done.stdout).removeprefix("--data") == found.data


def test_a_command_that_make_has_is_typed_with_make():
    mine = ExperimentId("mine")
    given = {"trials": 9, "timeout": 1e3, "workers": "ray:4,cpus=2", "study": "mine-1"}
    typed = "make search EXPERIMENT=mine TRIALS=9 TIMEOUT=1000 WORKERS=ray:4,cpus=2 STUDY=mine-1"
    assert search_command(mine, given | {"storage": None, "ray-address": None}) == typed
    assert search_command(mine, {}) == "make search EXPERIMENT=mine"
    url = "postgresql+psycopg://ada:hunter2@host/db?a=1&b=2"
    typed = (
        "mnist-cnn search mine --trials 9 --ray-address h:1 "
        "--storage 'postgresql+psycopg://***@host/db?a=1&b=2'"
    )
    more = {"trials": 9, "workers": None, "ray-address": "h:1", "storage": url}
    assert search_command(mine, more) == typed


@pytest.mark.parametrize("path", ["", "~nobody-of-this-name/x", "a\0b", "x" * 5000])
def test_what_can_be_no_path_has_a_name_too(path):
    assert experiment_id(None, path).name.startswith("images-")
