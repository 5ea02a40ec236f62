"""Data sets that Keras downloads: read from its folder, or a line says what to put there."""

import gzip
import struct

import keras
import numpy as np
import pytest

from mnist_cnn.datasets import check, keras_dataset
from mnist_cnn.errors import UsageError, UserError


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty download folder, without a network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # Keras has looked at the variable when it was imported.
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path


def idx_file(array):
    magic = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(magic + array.tobytes())


def test_fashion_mnist_has_its_names(keras_home):
    folder = keras_home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 10_000)):  # Keras takes the latter for granted
        pixels = random.integers(0, 256, (count, 28, 28), np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx_file(pixels))
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx_file(labels))
    data = keras_dataset("fashion_mnist")
    check(data)
    assert data.class_names[0] == "T-shirt/top" and data.class_names[9] == "Ankle boot"
    assert (data.shape, len(data.train())) == ((28, 28, 1), 200)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fashion_mnist", "datasets/fashion-mnist/train-labels-idx1-ubyte.gz"),
        ("cifar10", "datasets/cifar-10-batches-py-target_archive"),
        ("mnist", "datasets/mnist.npz"),
    ],
)
def test_without_a_network_one_line_says_which_file_to_put_where(keras_home, name, file):
    with pytest.raises(UserError) as refusal:
        keras_dataset(name)
    (line,) = str(refusal.value).splitlines()
    assert f"{keras_home}/{file}" in line and "https://" in line


def test_another_name_is_refused_with_the_valid_ones():
    with pytest.raises(UsageError, match="'imdb'; valid: mnist, fashion_mnist, cifar10, cifar100"):
        keras_dataset("imdb")
