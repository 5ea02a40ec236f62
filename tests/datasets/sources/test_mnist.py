"""MNIST as it is published, read in parts, and refused when it is damaged."""

import hashlib
import importlib
import re
import struct
import zipfile
import zlib
from importlib.resources import files

import numpy as np
import pytest

from mnist_cnn.datasets import mnist
from mnist_cnn.errors import UserError

MODULE = importlib.import_module(
    "mnist_cnn.datasets.sources.mnist"
)  # the package's own is the function

# md5 sums of the IDX files that LeCun and Cortes published, unzipped.
IDX_MD5 = {
    "train": ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
    "test": ("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
}


@pytest.fixture(autouse=True)
def read_anew(mnist_is_read_once, monkeypatch):
    """Read the file each time, as the package does."""
    monkeypatch.setattr(MODULE, "_read", mnist_is_read_once)


@pytest.fixture(scope="module")
def parts():
    return {"train": mnist().train(), "test": mnist().test()}


@pytest.mark.parametrize(("part", "count"), [("train", 60_000), ("test", 10_000)])
def test_images_have_the_promised_shape_type_and_range(part, count, parts):
    images = parts[part]
    assert images.x.shape == (count, *mnist().shape) and images.x.dtype == np.float32
    assert images.y.shape == (count,) and images.y.dtype == np.int32
    assert (images.x.min(), images.x.max()) == (0.0, 1.0)
    assert np.unique(images.y).tolist() == list(range(mnist().classes))
    assert len(images) == count


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_and_labels_are_the_published_bytes(part, parts):
    images = parts[part]
    pixels = np.rint(images.x[..., 0] * 255).astype(np.uint8)
    # IDX: a magic number that says "bytes" and how many dimensions, the dimensions, the bytes.
    images_file = struct.pack(">IIII", 0x803, *pixels.shape) + pixels.tobytes()
    labels_file = struct.pack(">II", 0x801, len(images)) + images.y.astype(np.uint8).tobytes()
    found = tuple(hashlib.md5(content).hexdigest() for content in (images_file, labels_file))
    assert found == IDX_MD5[part]


def test_the_digest_is_the_shipped_files(shipped):
    assert mnist().digest == hashlib.sha256(shipped).hexdigest()


# What is on disk


@pytest.fixture(scope="module")
def shipped():
    return (files("mnist_cnn") / "data" / "mnist.npz").read_bytes()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The file that the package reads instead of its own."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(MODULE, "files", lambda package: tmp_path)
    return tmp_path / "data" / "mnist.npz"


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "a flipped bit": flip_a_bit,
    "cut short": lambda content: content[:-1],
    "empty": lambda content: b"",
    "a pointer of Git LFS": lambda content: b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_damaged_file_is_refused_with_its_checksum_and_the_way_back(damage, part, shipped, file):
    file.write_bytes(damage(shipped))
    with pytest.raises(UserError) as refusal:
        getattr(mnist(), part)()
    for words in (str(file), "SHA-256", mnist().digest, "git checkout -- mnist_cnn/data/mnist.npz"):
        assert words in str(refusal.value)


def test_a_missing_file_is_refused_with_the_way_back(file):
    with pytest.raises(UserError, match=re.escape(str(file))) as refusal:
        mnist().train()
    assert "git checkout -- mnist_cnn/data/mnist.npz" in str(refusal.value)


def test_making_a_data_set_reads_nothing(file):
    assert mnist().first(10).classes == 10  # there is no file


def test_reading_the_training_images_never_reads_the_test_images(file, images, monkeypatch):
    """The test images here cannot be read, so whoever tries fails."""
    np.savez_compressed(
        file,
        x_train=np.rint(images.x[..., 0] * 255).astype(np.uint8),
        y_train=images.y.astype(np.uint8),
        x_test=np.arange(1000, dtype=np.uint8),
        y_test=np.arange(1000, dtype=np.uint8),
    )
    overwrite_members(file, ("x_test.npy", "y_test.npy"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(MODULE, "MNIST_SHA256", digest)
    assert np.array_equal(mnist().train().x, images.x)
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        mnist().test()


def overwrite_members(path, names):
    """Write nonsense over the compressed content of these members of a zip file."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for name in names:
            member = archive.getinfo(name)
            start = member.header_offset
            lengths = struct.unpack("<HH", content[start + 26 : start + 30])  # of name and extra
            begin = start + 30 + sum(lengths)
            content[begin : begin + member.compress_size] = b"\xff" * member.compress_size
    path.write_bytes(content)
