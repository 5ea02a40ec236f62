"""Each oddity of a data set gives one line, and an ordinary data set gives none."""

from dataclasses import replace

import numpy as np
import pytest
from made_pictures import make_folder
from PIL import Image, ImageOps

from mnist_cnn.datasets import Dataset, Images, digits, folder, mnist, survey
from mnist_cnn.datasets.images import OnDemand
from mnist_cnn.datasets.survey import warnings


def made(train, test):
    return Dataset(
        name="own",
        digest="0",
        shape=train.x.shape[1:],
        classes=3,
        class_names=("cat", "dog", "emu"),
        train=lambda: train,
        test=lambda: test,
    )


def noise(seed, count=30, groups=None, top=1.0):
    x = np.random.default_rng(seed).random((count, 6, 6, 1), dtype=np.float32) * np.float32(top)
    names = np.array([f"{seed}/{number}.png" for number in range(count)])
    return Images(x, (np.arange(count) % 3).astype(np.int32), groups, names)


def test_real_data_sets_give_no_warnings():
    assert warnings(mnist().first(2000)) == []
    assert [line for line in warnings(digits()) if "no test part" not in line] == []


def test_identical_images_are_named_with_class_and_part():
    train, test = noise(1), noise(2)
    train.x[3] = train.x[0]  # of the same class
    train.x[4] = train.x[2]  # of another
    test.x[6] = train.x[9]  # on the other side
    more, both, contrary = warnings(made(train, test))
    assert (
        "more than once: 3" in more and "1/0.png (training, cat) = 1/3.png (training, cat)" in more
    )
    assert "both the training and the test part: 1" in both
    assert "1/9.png (training, cat) = 2/6.png (test, cat)" in both
    assert "different labels: 1" in contrary
    assert "1/2.png (training, emu) = 1/4.png (training, dog)" in contrary


def test_of_a_large_part_some_images_are_looked_at_which_is_said(monkeypatch):
    monkeypatch.setattr(survey, "_SAMPLE_BYTES", 36 * 32)  # two images in each place
    train, test = noise(1, count=100), noise(2)
    pixels = np.rint(train.x * 255).astype(np.uint8)
    pixels[99] = pixels[0]  # both ends are among those that are looked at
    lazy = OnDemand(np.arange(100), (6, 6, 1), lambda index: pixels[index])
    test.x[5] = pixels[0] / np.float32(255)
    said, equal, both, contrary = warnings(made(replace(train, x=lazy, names=None), test))
    assert "among 62 of 130 images only" in said
    assert "image 0 (training, cat) = image 99 (training, cat)" in equal
    assert "both the training and the test part: 1" in both and "different labels" in contrary


def test_groups_in_both_parts_are_named():
    train, test = (
        noise(1, groups=np.repeat([1, 2, 3], 10)),
        noise(2, groups=np.repeat([3, 4, 5], 10)),
    )
    (line,) = warnings(made(train, test))
    assert "groups" in line and line.endswith(": 3")


@pytest.mark.parametrize("inverted", [1, 5])
@pytest.mark.parametrize("bytes_", [False, True])
def test_light_pictures_among_dark_ones_are_named(tmp_path, inverted, bytes_):
    make_folder(tmp_path, 60, kinds=("png",))
    paths = sorted(tmp_path.rglob("*.png"))[:inverted]
    for path in paths:
        ImageOps.invert(Image.open(path)).save(path)
    data = folder(tmp_path)
    if bytes_:
        parts = [
            Images((part.x * 255).astype(np.uint8), part.y, names=part.names)
            for part in (data.train(), data.test())
        ]
        data = made(*parts)
    line = next(line for line in warnings(data) if "light on dark" in line)
    assert line.startswith(f"{inverted} of 60 images") and "circle/000.png" in line
    assert not any("single" in line or "brightest" in line for line in warnings(data))


def test_photographs_have_no_polarity():
    train, test = noise(1), noise(2)
    train.x[:3], train.x[3:6] = train.x[:3] * 0.1, 1 - train.x[3:6] * 0.1
    assert not any("unlike" in line for line in warnings(made(train, test)))


def test_images_of_a_single_colour_are_named():
    train = noise(1)
    train.x[5] = 0.5
    (line,) = warnings(made(train, noise(2)))
    assert "single colour: 1; 1/5.png" in line


def test_dark_pixels_are_reported():
    """Such as a range of 0 to 16 in bytes, or 12 bits stored in 16."""
    (line,) = warnings(made(noise(1, top=16 / 255), noise(2, top=16 / 255)))
    assert "6% of white in the training part and 6% of white in the test part" in line


@pytest.mark.parametrize("dim", ["training", "test"])
def test_dark_pixels_of_one_part_are_reported(dim):
    """Such as those of a part that was divided by 255 twice."""
    tops = {"training": (16 / 255, 1.0), "test": (1.0, 16 / 255)}[dim]
    (line,) = warnings(made(noise(1, top=tops[0]), noise(2, top=tops[1])))
    assert line.startswith(f"the brightest pixel is only 6% of white in the {dim} part;")


def test_a_part_of_bytes_beside_one_of_floats_is_not_dim():
    train, test = noise(1), noise(2)
    test = replace(test, x=np.rint(test.x * 255).astype(np.uint8))
    assert warnings(made(train, test)) == warnings(made(test, train)) == []


def test_remarks_of_the_source_are_included(tmp_path):
    make_folder(tmp_path, 30)
    (tmp_path / "cross" / "notes.txt").write_text("about")
    assert "notes.txt" in warnings(folder(tmp_path))[0]
