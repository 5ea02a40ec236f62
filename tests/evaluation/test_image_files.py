"""A user's own images, as arrays and as folders: read correctly, or refused in one line."""

import numpy as np
import pytest
from PIL import Image

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.image_files import (
    arrays_of,
    digest_of_folder,
    read_arrays,
    read_folder,
)

GREY, COLOUR = (4, 5, 1), (4, 5, 3)
PIXELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1])


def saved(tmp_path, **arrays):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    return path


def read(path, classes=3):
    return read_arrays(path, arrays_of(path), classes)


@pytest.mark.parametrize(
    "x", [PIXELS, PIXELS[..., None], PIXELS / 255], ids=["hw", "hwc", "floats"]
)
def test_arrays_are_read_as_float32_in_0_to_1(tmp_path, x):
    images = read(saved(tmp_path, x=x, y=LABELS))
    assert images.x.dtype == np.float32 and images.y.dtype == np.int32
    np.testing.assert_allclose(images.x, PIXELS[..., None] / 255, rtol=1e-6)
    assert images.y.tolist() == [2, 0, 1]


def test_of_keras_four_arrays_the_test_part_is_read_and_marked_as_a_test_set(tmp_path):
    path = saved(tmp_path, x_train=PIXELS[:1], y_train=LABELS[:1], x_test=PIXELS, y_test=LABELS)
    assert arrays_of(path).is_test_set
    assert arrays_of(path).shape == GREY
    assert len(read(path)) == 3
    assert not arrays_of(saved(tmp_path, x=PIXELS, y=LABELS)).is_test_set


def test_labels_may_be_a_column_as_in_keras_cifar(tmp_path):
    assert read(saved(tmp_path, x=PIXELS, y=LABELS[:, None])).y.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": PIXELS}, "wanted are x and y"),
        ({"x": PIXELS[0], "y": LABELS}, "has the shape"),
        ({"x": PIXELS.astype(np.int64), "y": LABELS}, "int64 from 0 to 59"),
        ({"x": PIXELS.astype(float), "y": LABELS}, "from 0.0 to 59.0"),
        ({"x": PIXELS * np.nan, "y": LABELS}, "nan"),
        ({"x": PIXELS[:0], "y": LABELS[:0]}, "no images"),
        ({"x": PIXELS, "y": LABELS[:2]}, "shape (2,)"),
        ({"x": PIXELS, "y": LABELS / 2}, "float64"),
        ({"x": PIXELS, "y": LABELS - 1}, "from -1 to 1"),
        ({"x": PIXELS, "y": LABELS + 1}, "the model has 3, from 0 to 2"),
        ({"x": PIXELS, "y": np.array([object()] * 3)}, "allow_pickle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_arrays_are_refused(tmp_path, arrays, words):
    with pytest.raises(UserError) as refusal:
        read(saved(tmp_path, **arrays))
    assert words in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no zip", "cut"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = saved(tmp_path, x=PIXELS, y=LABELS)
    path.write_bytes(path.read_bytes()[:-40] if content == "cut" else content)
    with pytest.raises(UserError, match="cannot read"):
        read(path)


def folder(tmp_path, names, image=PIXELS[0]):
    for index, name in enumerate(names):
        (tmp_path / name).mkdir()
        Image.fromarray(image + index).save(tmp_path / name / f"{index}.png")
    return tmp_path


def test_sub_folders_named_with_numbers_are_these_classes(tmp_path):
    images = read_folder(folder(tmp_path, ["7", "10", "0"]), GREY, 11)
    assert images.y.tolist() == [0, 10, 7]  # in the order of the names
    np.testing.assert_allclose(images.x[2, ..., 0], PIXELS[0] / 255, rtol=1e-6)
    assert images.x.shape == (3, *GREY) and images.x.dtype == np.float32


def test_other_sub_folders_are_the_classes_in_alphabetical_order(tmp_path):
    place = folder(tmp_path, ["shoe", "bag"])
    assert read_folder(place, GREY, 2).y.tolist() == [0, 1]
    with pytest.raises(UserError, match="bag, shoe; the model has 3 classes"):
        read_folder(place, GREY, 3)


def test_images_are_converted_to_the_models_channels(tmp_path):
    images = read_folder(folder(tmp_path, ["0"]), COLOUR, 1)
    np.testing.assert_allclose(images.x[0], np.repeat(PIXELS[0][..., None], 3, 2) / 255, rtol=1e-6)
    assert read_folder(tmp_path, GREY, 1).x.shape == (1, *GREY)


def test_images_of_another_size_and_other_files_are_refused(tmp_path):
    place = folder(tmp_path, ["0"])
    with pytest.raises(UserError, match="is 4x5, the model takes 28x28"):
        read_folder(place, (28, 28, 1), 1)
    (place / "0" / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=r"notes\.txt is not a readable image"):
        read_folder(place, GREY, 1)


def test_a_huge_image_is_refused_by_its_header(tmp_path):
    (tmp_path / "0").mkdir()
    Image.new("1", (9000, 9000)).save(tmp_path / "0" / "bomb.png")  # 10 kB for 81 megapixels
    with pytest.raises(UserError, match="9000x9000"):
        read_folder(tmp_path, GREY, 1)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="sub-folders none"):
        read_folder(tmp_path, GREY, 1)


def test_the_digest_of_a_folder_follows_its_images_and_their_classes(tmp_path):
    place = folder(tmp_path, ["0", "1"])
    before = digest_of_folder(place)
    (place / "1" / "1.png").rename(place / "0" / "1.png")
    assert digest_of_folder(place) != before
