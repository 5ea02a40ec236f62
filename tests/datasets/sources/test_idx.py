"""IDX files of MNIST and similar sets: complete, damaged, and several sets in one folder."""

import gzip
import struct

import numpy as np
import pytest
from refusals import assert_refused

from mnist_cnn.datasets import check, idx, mnist

COUNT = 80
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 5), np.uint8)
LABELS = (np.arange(COUNT) % 4).astype(np.uint8)
TYPES = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def content(array):
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    magic = struct.pack(">BBBB", 0, 0, TYPES[array.dtype.name], array.ndim)
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + big_endian.tobytes()


def write(place, prefix="", parts=("train", "t10k"), x=PIXELS, y=LABELS, form="{}-{}-idx{}-ubyte"):
    place.mkdir(exist_ok=True, parents=True)
    for part in parts:
        for name, array in (("images", x), ("labels", y)):
            file = place / (prefix + form.format(part, name, array.ndim))
            packed = file.suffix == ".gz"
            file.write_bytes(gzip.compress(content(array)) if packed else content(array))
    return place


def refused(path, *words):
    assert_refused(lambda: check(idx(path)), *words)


@pytest.mark.parametrize(
    "form",
    ["{}-{}-idx{}-ubyte", "{}-{}-idx{}-ubyte.gz", "{}-{}.idx{}-ubyte", "{}-{}-IDX{}-UBYTE"],
)
def test_images_and_labels_are_read(tmp_path, form):
    data = idx(write(tmp_path / "things", form=form))
    check(data)
    assert (data.name, data.shape) == ("things", (4, 5, 1))
    assert data.class_names == ("0", "1", "2", "3")
    for images in (data.train(), data.test()):
        assert np.array_equal(np.rint(images.x[..., 0] * 255), PIXELS)
        assert np.array_equal(images.y, LABELS)


def test_compression_does_not_change_the_digest(tmp_path):
    packed = idx(write(tmp_path / "a", form="{}-{}-idx{}-ubyte.gz"))
    assert packed.digest == idx(write(tmp_path / "b")).digest


def test_mnists_own_files_equal_the_shipped_data(tmp_path):
    images = mnist().test()
    pixels = np.rint(images.x[..., 0] * 255).astype(np.uint8)
    found = idx(write(tmp_path, x=pixels, y=images.y.astype(np.uint8))).test()
    assert np.array_equal(found.x, images.x) and np.array_equal(found.y, images.y)


def test_without_test_files_a_fifth_is_set_aside(tmp_path):
    data = idx(write(tmp_path, parts=["train"]))
    assert len(data.train()) + len(data.test()) == COUNT and len(data.test())


def test_emnists_letters_are_upright_and_have_their_names(tmp_path):
    labels = (np.arange(COUNT) % 26 + 1).astype(np.uint8)
    data = idx(write(tmp_path, "emnist-letters-", ("train", "test"), PIXELS, labels))
    assert data.name == "emnist-letters" and data.shape == (5, 4, 1)
    assert "".join(data.class_names) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert np.array_equal(np.rint(data.train().x[0, ..., 0] * 255), PIXELS[0].T)
    assert "emnist-letters is EMNIST" in data.remarks[0] and "transposed" in data.remarks[0]


@pytest.mark.parametrize(("kind", "classes"), [("balanced", 47), ("byclass", 62), ("digits", 10)])
def test_emnists_other_sets_have_their_names(tmp_path, kind, classes):
    labels = np.arange(124, dtype=np.uint8) % classes
    pixels = np.random.default_rng(0).integers(0, 256, (124, 4, 4), np.uint8)
    data = idx(write(tmp_path, f"emnist-{kind}-", ("train", "test"), pixels, labels))
    assert data.classes == classes == len(set(data.class_names))
    assert "".join(data.class_names).startswith("0123456789ABC"[:classes])


def test_qmnists_writers_are_groups(tmp_path):
    columns = np.zeros((COUNT, 8), np.int32)
    columns[:, 0], columns[:, 2] = LABELS, np.arange(COUNT) // 8
    for part in ("train", "test"):
        (tmp_path / f"qmnist-{part}-images-idx3-ubyte").write_bytes(content(PIXELS))
        (tmp_path / f"qmnist-{part}-labels-idx2-int").write_bytes(content(columns))
    data = idx(tmp_path)
    assert np.array_equal(data.train().y, LABELS)
    assert np.array_equal(data.train().groups, columns[:, 2])


def test_the_path_of_a_file_chooses_one_of_several_sets(tmp_path):
    write(tmp_path, "emnist-letters-", ("train", "test"))
    write(tmp_path, "emnist-digits-", ("train", "test"))
    refused(tmp_path, "emnist-digits, emnist-letters", "the path of a file")
    assert idx(tmp_path / "emnist-digits-test-labels-idx1-ubyte").name == "emnist-digits"


@pytest.mark.parametrize("name", ["float32", "float64", "int16", "int32"])
def test_numbers_of_other_types_are_read(tmp_path, name):
    data = idx(write(tmp_path, x=PIXELS.astype(name), y=LABELS.astype(name)))
    assert np.array_equal(np.rint(data.train().x[..., 0] * 255), PIXELS)


@pytest.mark.parametrize("form", ["{}-{}-idx{}-ubyte", "{}-{}-idx{}-ubyte.gz"])
@pytest.mark.parametrize("damage", ["cut", "cut to its header", "empty", "another", "longer"])
@pytest.mark.parametrize("file", ["images-idx3", "labels-idx1"])
def test_a_damaged_file_is_named(tmp_path, form, damage, file):
    write(tmp_path, form=form)
    (path,) = tmp_path.glob(f"train-{file}-*")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "cut to its header": whole[:6],
            "empty": b"",
            "another": b"<html>404</html>",
            "longer": whole + b"\0",
        }[damage]
    )
    if damage == "longer" and form.endswith("gz"):
        assert idx(tmp_path).classes == 4  # zeros behind what is packed are allowed
    else:
        refused(tmp_path, path.name)


def test_inconsistent_contents_are_refused_by_file(tmp_path):
    """`test_npz` has the other contents: both sources end in the same checks."""
    refused(write(tmp_path, x=PIXELS[:-1]), "train-images", "79", "80")


def test_parts_of_different_shapes_are_refused(tmp_path):
    write(tmp_path, parts=["train"])
    write(tmp_path, parts=["t10k"], x=PIXELS[:, :3])
    refused(tmp_path, "(4, 5, 1)", "(3, 5, 1)")


@pytest.mark.parametrize("missing", ["train-labels", "train-images", "t10k-labels", "train"])
def test_a_missing_file_is_named(tmp_path, missing):
    write(tmp_path)
    for path in tmp_path.glob(f"{missing}*"):
        path.unlink()
    refused(tmp_path, "lacks the")


def test_a_folder_without_idx_files_is_refused(tmp_path):
    refused(tmp_path, "no IDX files", "train-images-idx3-ubyte")
