"""The `data` subcommand as a user types it: what it prints and writes, and its exit codes."""

import numpy as np
import pytest
from made_pictures import make_folder
from PIL import Image
from projects import command, here

from mnist_cnn.datasets.overview import show_data


def refuses(done, *words):
    assert done.returncode == 2, done.stderr
    (complaint,) = done.stderr.strip().splitlines()
    for word in words:
        assert word in complaint


def test_counts_and_examples_of_each_class_are_shown(tmp_path):
    make_folder(tmp_path / "shapes", 90, sizes=((32, 32), (32, 32), (60, 40)))
    done = here("data", "shapes", "--picture", "examples.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = done.stdout.splitlines()
    assert first.startswith("shapes: 90 images of 3 classes, 32x32 pixels, grey; digest ")
    counts = {line.split()[0]: line.split()[1:] for line in others if line[:3] in ("cir", "all")}
    assert sum(map(int, counts["circle"])) == 30 and sum(map(int, counts["all"])) == 90
    assert "32x32 (60), 40x60 (30)" in done.stdout
    picture = np.asarray(Image.open(tmp_path / "examples.png").convert("L"))
    assert picture.shape[1] > 800 and picture.std() > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.png", "shapes"]


def test_names_with_dollar_signs_are_no_formulas(tmp_path):
    make_folder(tmp_path / "a$b_$c", 30)
    (tmp_path / "a$b_$c" / "circle").rename(tmp_path / "a$b_$c" / "d$e_$f")
    done = here("data", "a$b_$c", "--picture", "examples.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "examples.png").exists()


def test_all_unreadable_pictures_are_named(tmp_path):
    make_folder(tmp_path / "shapes", 60)
    for name in ("b.png", "a.jpg"):
        (tmp_path / "shapes" / "cross" / name).write_bytes(b"no picture")
    Image.new("1", (9500, 9500)).save(tmp_path / "shapes" / "cross" / "bomb.png")
    done = command("data", "shapes", cwd=tmp_path)  # whose stderr would have Pillow's warnings
    for name in ("cross/a.jpg", "cross/b.png", "cross/bomb.png"):
        assert f"\n{name} cannot be read: " in done.stdout
    assert "60 images of 3 classes" in done.stdout
    refuses(done, "3 pictures", "repair or remove")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["'nowhere'"]),
        (["shapes", "--picture", "a.jpg"], ["'a.jpg'", ".png"]),
        (["shapes", "--picture", "no/a.png"], ["'no'"]),
        ([], ["PATH"]),
        (["one"], ["'circle'"]),
    ],
)
def test_wrong_usage_gives_one_line_and_writes_nothing(tmp_path, arguments, words):
    make_folder(tmp_path / "shapes", 9)
    (tmp_path / "one").mkdir()
    (tmp_path / "shapes" / "circle").rename(tmp_path / "one" / "circle")
    before = sorted(tmp_path.rglob("*"))
    refuses(here("data", *arguments, cwd=tmp_path), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_data_set_that_a_search_would_refuse_is_shown_and_refused(tmp_path):
    make_folder(tmp_path / "shapes", 60)
    (tmp_path / "shapes" / "empty").mkdir()
    done = here("data", "shapes", cwd=tmp_path)
    assert "60 images of 4 classes" in done.stdout
    refuses(done, "'empty'", "no training images")


def test_control_characters_in_names_are_escaped(tmp_path, capsys):
    make_folder(tmp_path / "shapes", 60)
    (tmp_path / "shapes" / "cross").rename(tmp_path / "shapes" / "a\nb\x1b[31m")
    show_data(tmp_path / "shapes", tmp_path / "a.png")
    assert r"a\nb\x1b[31m" in capsys.readouterr().out


def test_examples_of_many_classes_are_drawn_in_columns(tmp_path):
    x = np.random.default_rng(0).random((124, 5, 5))
    np.savez(tmp_path / "many.npz", x=np.repeat(x, 3, 0), y=np.arange(372) // 6)
    show_data(tmp_path / "many.npz", tmp_path / "a.png")
    height, width = np.asarray(Image.open(tmp_path / "a.png").convert("L")).shape
    assert height < 3 * width
