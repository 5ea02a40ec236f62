"""The order in which a training sees its images, and how they are batched."""

import numpy as np
import pytest

from mnist_cnn.datasets import Images
from mnist_cnn.training import batches
from mnist_cnn.training.batches import evaluation_batch_size, evaluation_batches, training_batches


def test_every_pass_takes_each_image_once_in_an_order_of_its_own():
    first, second, third = passes_over_numbers(count=60, seed=5, passes=3)
    for order in (first, second, third):
        assert sorted(order) == list(range(60)) != order
    assert first != second != third != first


def test_the_order_is_a_function_of_the_seed_and_the_pass():
    orders = passes_over_numbers(count=60, seed=5, passes=3)
    assert passes_over_numbers(count=60, seed=5, passes=3) == orders
    assert passes_over_numbers(count=60, seed=6, passes=1) != orders[:1]


@pytest.mark.parametrize("first_batch", [1, 5, 6, 14])
def test_the_batches_go_on_from_any_one_of_them(first_batch):
    images = numbered(65)
    whole = labels_of(training_batches(images, 10, 5, 0), 18)
    assert labels_of(training_batches(images, 10, 5, first_batch), 4) == whole[first_batch:][:4]


def test_images_that_fill_no_batch_are_left_out_and_other_ones_every_pass():
    first, second = passes_over_numbers(count=65, seed=0, passes=2)
    assert len(set(first)) == len(set(second)) == 60
    assert set(first) != set(second)


def test_labels_stay_with_their_images(images):
    x, y = next(iter(training_batches(images, 400, 0, 0).as_numpy_iterator()))
    found = sorted(zip((image.tobytes() for image in x), y.tolist(), strict=True))
    given = sorted(zip((image.tobytes() for image in images.x), images.y.tolist(), strict=True))
    assert found == given


def numbered(count):
    """Images that are labelled with their own number."""
    numbers = np.arange(count)
    return Images(numbers.astype(np.float32).reshape(-1, 1, 1, 1), numbers.astype(np.int32))


def labels_of(dataset, count):
    return [y.tolist() for _, y in dataset.take(count).as_numpy_iterator()]


def passes_over_numbers(*, count, seed, passes):
    """The orders in which images that are their own number come, one for every pass."""
    steps = count // 10
    found = labels_of(training_batches(numbered(count), 10, seed, 0), steps * passes)
    return np.array(found).reshape(passes, steps * 10).tolist()


def test_no_batches_wait_for_an_autotuner(images):
    for dataset in (training_batches(images, 10, 0, 0), evaluation_batches(images)):
        assert dataset.options().autotune.enabled is False


def test_an_evaluation_takes_each_image_once_and_in_order(images):
    seen = list(evaluation_batches(images).as_numpy_iterator())
    assert np.array_equal(np.concatenate([x for x, _ in seen]), images.x)
    assert np.array_equal(np.concatenate([y for _, y in seen]), images.y)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((28, 28, 1), 1000), ((8, 8, 1), 1000), ((64, 64, 3), 191), ((2000, 1000, 3), 1)],
)
def test_large_images_are_evaluated_in_smaller_batches(shape, size):
    assert evaluation_batch_size(shape) == size


# The file of it has several pages.
LEVELS = Images(
    np.arange(256, dtype=np.uint8).reshape(-1, 4, 4, 1).repeat(10, axis=0).repeat(8, axis=1),
    np.arange(160, dtype=np.int32),
)


@pytest.mark.parametrize("kind", ["mapped", "streamed", "resident"])
def test_bytes_become_the_same_floats_to_the_bit(monkeypatch, tmp_path, kind):
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 2**28 if kind == "resident" else 0)
    images = LEVELS
    if kind == "mapped":
        np.save(tmp_path / "x.npy", LEVELS.x)
        images = Images(np.load(tmp_path / "x.npy", mmap_mode="r"), LEVELS.y)
    batches._taker.cache_clear()
    expected = LEVELS.scaled()
    seen = list(evaluation_batches(images).as_numpy_iterator())
    assert np.array_equal(np.concatenate([x for x, _ in seen]), expected.x)
    for x, y in training_batches(images, 20, 3, 0).take(8).as_numpy_iterator():
        assert x.dtype == np.float32 and np.array_equal(x, expected.x[y])
    batches._taker.cache_clear()


def test_streamed_batches_come_in_the_same_order(monkeypatch):
    resident = labels_of(training_batches(LEVELS, 20, 3, 5), 9)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    batches._taker.cache_clear()
    assert labels_of(training_batches(LEVELS, 20, 3, 5), 9) == resident
    batches._taker.cache_clear()
