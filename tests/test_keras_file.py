"""A .keras file from anybody is read in little memory, or refused in one line."""

import hashlib
import io
import json
import tracemalloc
import zipfile

import h5py
import keras
import pytest

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.keras_file import (
    MAX_CONFIG_BYTES,
    check_weights,
    is_model,
    model_digest,
    read_config,
)

MIB = 2**20
WEIGHTS = "model.weights.h5"


def write_archive(path, members, compression=zipfile.ZIP_STORED):
    """Write an archive.

    Args:
        path: The file.
        members: By name, how many MiB of zeros to write.
        compression: The method.
    """
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for name, size in members.items():
            with archive.open(name, "w") as file:
                for _ in range(size):
                    file.write(bytes(MIB))
    return path


def test_a_digest_takes_little_memory(tmp_path):
    path = write_archive(tmp_path / "large.keras", {WEIGHTS: 48})
    tracemalloc.start()
    model_digest(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MIB


def write_model(path, date="2026-11-27@10:00:00", config="{}", weights=b"weights"):
    """A small archive with what a .keras file has in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", f'{{"keras_version": "3", "date_saved": "{date}"}}')
        archive.writestr("config.json", config)
        archive.writestr(WEIGHTS, weights)
    return path


def test_a_digest_is_of_all_but_the_date(tmp_path):
    digest = model_digest(write_model(tmp_path / "a.keras"))
    assert model_digest(write_model(tmp_path / "b.keras", date="2026-11-28@11:00:00")) == digest
    for name, change in (("config", '{"pooling": "average"}'), ("weights", b"others")):
        assert model_digest(write_model(tmp_path / "c.keras", **{name: change})) != digest


def test_a_digest_is_the_same_of_a_model_that_is_made_again(tmp_path):
    """Though Keras writes the addresses in memory of what layers share."""
    digests, contents = set(), set()
    kept = []
    for name in ("a", "b"):
        keras.utils.set_random_seed(1)
        keras.backend.clear_session()
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.ReLU()])
        kept.append(model)  # so that the second is at another address
        path = tmp_path / f"{name}.keras"
        model.save(path)
        digests.add(model_digest(path))
        contents.add(json.dumps(read_config(path)))
    assert len(contents) == 2
    assert len(digests) == 1


def test_a_digest_tells_which_layers_share_something(tmp_path):
    config = '[{"shared_object_id": %d}, {"shared_object_id": %d}]'
    digests = [
        model_digest(write_model(tmp_path / "a.keras", config=config % numbers))
        for numbers in ((7, 8), (8, 7), (70, 80), (7, 7))
    ]
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_a_digest_of_before_0_3_0_was_of_the_weights(tmp_path):
    path = write_model(tmp_path / "a.keras")
    assert is_model(path, model_digest(path))
    assert is_model(path, hashlib.sha256(b"weights").hexdigest())
    assert not is_model(path, hashlib.sha256(b"others").hexdigest())


@pytest.mark.parametrize(
    "members",
    [
        {WEIGHTS: 160, "config.json": 0},
        {WEIGHTS: 1, "config.json": 160},
        {WEIGHTS: 1, "config.json": 0, **{f"assets/{n}": 40 for n in range(4)}},
    ],
    ids=["weights", "config", "assets"],
)
@pytest.mark.parametrize("read", [model_digest, read_config])
def test_a_decompression_bomb_is_refused(tmp_path, members, read):
    path = write_archive(tmp_path / "bomb.keras", members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MIB
    with pytest.raises(UserError, match=r"bomb\.keras would unpack to 16\d MiB"):
        read(path)


def write_weights(path, shape, **options):
    """A .keras file with one array of zeros."""
    content = io.BytesIO()
    with h5py.File(content, "w") as weights:
        weights.create_dataset("layers/dense/vars/0", shape, "float32", **options)
    return write_model(path, weights=content.getvalue())


@pytest.mark.parametrize("options", [{}, {"chunks": (1000, 1000), "compression": "gzip"}])
def test_an_array_that_claims_gigabytes_is_refused(tmp_path, options):
    """HDF5 need not store what is 0 or what it can compress, but Keras would allocate it."""
    path = write_weights(tmp_path / "bomb.keras", (20_000, 20_000), **options)
    assert path.stat().st_size < MIB
    with pytest.raises(UserError, match=r"bomb\.keras would unpack to 1,526 MiB"):
        check_weights(path)
    check_weights(write_weights(tmp_path / "small.keras", (2000, 2000), **options))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_cannot_be_read_in_pieces_is_refused(tmp_path, compression):
    """Python unpacks 4 KiB of these at once, which may be gigabytes."""
    path = write_archive(tmp_path / "odd.keras", {WEIGHTS: 1, "config.json": 0}, compression)
    for read in (model_digest, read_config):
        with pytest.raises(UserError, match="unusual compression"):
            read(path)


def test_a_huge_configuration_is_refused_though_it_is_no_bomb(tmp_path):
    path = write_archive(tmp_path / "huge.keras", {"config.json": MAX_CONFIG_BYTES // MIB + 1})
    with pytest.raises(UserError, match=r"configuration of 17 MiB"):
        read_config(path)


def test_a_configuration_is_read_as_json(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Sequential"}')
    assert read_config(path) == {"class_name": "Sequential"}


@pytest.mark.parametrize("content", [b"no archive", b"", b"PK\5\6" + bytes(18)])
@pytest.mark.parametrize("read", [model_digest, read_config])
def test_a_damaged_file_is_refused(tmp_path, content, read):
    path = tmp_path / "damaged.keras"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        read(path)
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "missing.keras")
