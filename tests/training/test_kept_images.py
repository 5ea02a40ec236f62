"""The files of a search's images: the same images, made once, whole or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from mnist_cnn.datasets import Dataset, Images, mnist
from mnist_cnn.datasets.check import checked_split
from mnist_cnn.errors import UsageError
from mnist_cnn.file_lock import file_lock
from mnist_cnn.mlruns import kept_data
from mnist_cnn.training import kept_images
from mnist_cnn.training.kept_images import kept_split, remove_kept


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(images, digest="0"):
    return Dataset(
        name="made",
        digest=digest,
        shape=images.x.shape[1:],
        classes=2,
        train=lambda: images,
        test=lambda: images,
    )


def random_images(dtype=np.float32):
    x = np.random.default_rng(0).random((40, 4, 4, 1), dtype=np.float32)
    if dtype == np.uint8:
        x = np.rint(255 * x).astype(np.uint8)
    return Images(x, (np.arange(40) % 2).astype(np.int32))


def test_kept_are_the_images_of_the_split_to_the_bit():
    data = mnist().first(2000)
    kept, split = kept_split(data, 1 / 6, 0, 100), checked_split(data, 1 / 6, 0, 100)
    for ours, theirs in zip(kept, split, strict=True):
        assert isinstance(ours.x, np.memmap) and ours.x.dtype == np.uint8
        assert np.array_equal(ours.scaled().x, theirs.x)
        assert np.array_equal(ours.y, theirs.y) and ours.y.dtype == np.int32


def test_floats_that_are_no_bytes_stay_floats():
    images = random_images()
    train, validation = kept_split(made(images), 1 / 4, 0, 4)
    assert train.x.dtype == np.float32
    whole = np.concatenate([train.x, validation.x])
    assert {image.tobytes() for image in whole} == {image.tobytes() for image in images.x}


def test_one_hot_labels_are_kept():
    train, _ = kept_split(mnist().first(1000).one_hot(), 1 / 6, 0, 100)
    assert train.y.dtype == np.float32 and train.y.shape[1] == 10


def test_the_data_set_is_read_once():
    images, reads = random_images(np.uint8), []

    def read():
        reads.append(1)
        return images

    data = replace(made(images), train=read)
    first, again = kept_split(data, 1 / 4, 0, 4), kept_split(data, 1 / 4, 0, 4)
    assert len(reads) == 1
    assert np.array_equal(first[0].x, again[0].x) and np.array_equal(first[1].y, again[1].y)


def test_a_batch_that_has_become_too_large_is_refused_although_the_images_are_kept():
    data = made(random_images(np.uint8))
    kept_split(data, 1 / 4, 0, 30)
    with pytest.raises(UsageError, match=r"30 training images remain .* than a batch of 31"):
        kept_split(data, 1 / 4, 0, 31)


def test_another_data_set_seed_or_share_are_other_files():
    data = made(random_images(np.uint8))
    kept_split(data, 1 / 4, 0, 4)
    kept_split(data, 1 / 4, 1, 4)
    kept_split(data, 1 / 5, 0, 4)
    kept_split(data.first(30), 1 / 4, 0, 4)
    kept_split(replace(data, model_name="of-another-path", digest="1"), 1 / 4, 0, 4)
    assert len(kept_folders()) == 5


def test_changed_images_replace_those_before_and_whoever_has_these_keeps_them():
    images = random_images(np.uint8)
    earlier, _ = kept_split(made(images), 1 / 4, 0, 4)
    before, pixels = kept_folders(), np.array(earlier.x)
    kept_split(made(images, digest="1"), 1 / 4, 0, 4)
    assert len(kept_folders()) == 1 and kept_folders() != before
    assert np.array_equal(earlier.x, pixels)


def test_removed_images_are_made_again():
    data = made(random_images(np.uint8))
    before = np.array(kept_split(data, 1 / 4, 0, 4)[0].x)
    remove_kept(lambda facts: facts["digest"] == "other")
    assert len(kept_folders()) == 1
    remove_kept(lambda facts: facts["digest"] == "0")
    assert not kept_folders()
    assert np.array_equal(kept_split(data, 1 / 4, 0, 4)[0].x, before)


def test_images_that_somebody_is_opening_stay():
    kept_split(made(random_images(np.uint8)), 1 / 4, 0, 4)
    (folder,) = kept_folders()
    with file_lock(folder.with_suffix(".lock")):
        remove_kept(lambda facts: True)
    assert kept_folders() == [folder]


def test_what_a_kill_left_is_removed():
    kept_split(made(random_images(np.uint8)), 1 / 4, 0, 4)
    (folder,) = kept_folders()
    partly = kept_data() / "other-0123.part"
    partly.mkdir()
    (partly / "train-x.npy").write_bytes(b"half")
    remove_kept(lambda facts: False)
    assert kept_folders() == [folder]


def kept_folders():
    return [path for path in kept_data().iterdir() if path.is_dir()]


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_damaged_files_are_made_again(damage):
    data = made(random_images(np.uint8))
    before = np.array(kept_split(data, 1 / 4, 0, 4)[0].x)
    (file,) = kept_data().glob("*/train-x.npy")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-10])
    assert np.array_equal(kept_split(data, 1 / 4, 0, 4)[0].x, before)


def test_a_failure_leaves_nothing(monkeypatch):
    def fail(file, images):
        file.write(b"half")
        raise OSError(28, "no space")

    monkeypatch.setattr(kept_images, "_write_pixels", fail)
    with pytest.raises(OSError, match="no space"):
        kept_split(made(random_images()), 1 / 4, 0, 4)
    assert not kept_folders()


def test_what_the_check_refuses_is_not_kept():
    images = random_images()
    wrong = replace(images, y=images.y + 1)
    with pytest.raises(UsageError, match="expected a class from 0 to 1"):
        kept_split(made(wrong), 1 / 4, 0, 4)
    assert not kept_folders()
