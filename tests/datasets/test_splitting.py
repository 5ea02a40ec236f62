"""Splits by a seed, and test parts set aside by content."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_cnn.datasets import Images, mnist, split
from mnist_cnn.datasets.images import OnDemand
from mnist_cnn.datasets.splitting import content_keys, set_aside


def test_the_split_takes_the_same_share_of_every_class():
    images = mnist().train()
    _, validation = split(images, 1 / 6, seed=0)
    members, held_out = np.bincount(images.y), np.bincount(validation.y)
    assert held_out.tolist() == [round(count / 6) for count in members]


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9])
def test_every_image_is_in_one_part_with_its_own_label(fraction):
    train, validation = split(numbered(500), fraction, seed=3)
    values = np.concatenate([train.x, validation.x]).ravel()
    assert sorted(values) == list(range(500))
    assert np.array_equal(values % 10, np.concatenate([train.y, validation.y]))


def test_the_seed_decides_the_split():
    first, again, other = (split(numbered(500), 0.2, seed=seed) for seed in (1, 1, 2))
    for part in (0, 1):
        assert np.array_equal(first[part].x, again[part].x)
        assert set(first[part].x.ravel()) != set(other[part].x.ravel())


def test_both_parts_are_in_random_order():
    for part in split(numbered(500), 0.5, seed=0):
        in_file = np.sort(part.x.ravel())
        assert not np.array_equal(part.x.ravel(), in_file)
        assert len(set(part.y[:50].tolist())) > 5  # the classes are not one after another


def test_the_split_of_mnist_never_changes():
    """A study can go on after an upgrade only if its images are split as before."""
    train, validation = split(mnist().train(), 1 / 12, seed=0)
    found = hashlib.sha256(train.y.tobytes() + validation.x.tobytes()).hexdigest()
    assert found == "e6a116c8f54ecb96f3a3212bdf20a8c3cfe289c367021343f0155dada1098175"


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_groups_stay_whole_and_shares_are_approximate(fraction):
    random = np.random.default_rng(0)
    groups = np.repeat([f"writer {number}" for number in range(60)], 20)
    labels = random.integers(0, 4, len(groups)).astype(np.int32)
    images = Images(pixels(len(groups)), labels, groups)
    train, validation = split(images, fraction, seed=1)
    assert not set(train.groups) & set(validation.groups)
    assert len(train) + len(validation) == len(images)
    shares = np.bincount(validation.labels) / np.bincount(labels)
    assert np.abs(shares - fraction).max() < 0.07


def test_the_seed_decides_the_split_of_groups():
    groups = np.arange(200) // 4
    images = Images(pixels(200), (np.arange(200) % 2).astype(np.int32), groups)
    first, again, other = (set(split(images, 0.2, seed=seed)[1].groups) for seed in (1, 1, 2))
    assert first == again != other


def test_one_of_two_groups_is_for_validation():
    groups = np.repeat([0, 1], [90, 10])
    train, validation = split(Images(pixels(100), np.arange(100) % 2, groups), 0.01, seed=0)
    assert (len(train), len(validation)) == (90, 10)


# A test part where there is none


def test_about_a_fifth_of_each_class_is_set_aside():
    labels = (np.arange(5000) % 5).astype(np.int32)
    aside = set_aside(content_keys(pixels(5000)), labels)
    shares = np.bincount(labels[aside]) / 1000
    assert np.abs(shares - 0.2).max() < 0.05 and abs(shares.mean() - 0.2) < 0.02


@given(st.lists(st.integers(0, 10_000), min_size=120, max_size=200, unique=True), st.randoms())
def test_added_and_reordered_images_move_no_other(numbers, random):
    keys = content_keys(np.array(numbers).reshape(-1, 1))
    before = dict(zip(keys[:100], set_aside(keys[:100], np.zeros(100, int)), strict=True))
    random.shuffle(keys)
    after = dict(zip(keys, set_aside(keys, np.zeros(len(keys), int)), strict=True))
    assert all(after[key] == side for key, side in before.items())


def test_identical_images_are_on_the_same_side():
    x = np.concatenate([pixels(300), pixels(300)])
    aside = set_aside(content_keys(x), (np.arange(600) % 3).astype(np.int32))
    assert np.array_equal(aside[:300], aside[300:])


@given(st.lists(st.integers(2, 6), min_size=2, max_size=20), st.integers(0, 100))
def test_every_class_of_two_images_or_more_is_on_both_sides(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    aside = set_aside([f"{seed} {number}" for number in range(len(labels))], labels)
    for label in range(len(sizes)):
        assert set(aside[labels == label]) == {True, False}


@given(st.text())
def test_the_single_image_of_a_class_stays_in_training(key):
    assert not set_aside([key], np.zeros(1, int)).any()


def test_groups_are_set_aside_whole():
    groups = np.repeat(np.arange(100), 10)
    labels = (np.arange(1000) % 10).astype(np.int32)
    aside = set_aside(content_keys(pixels(1000)), labels, groups)
    assert not set(groups[aside]) & set(groups[~aside])
    assert 100 < aside.sum() < 300


def pixels(count):
    """Different images of one pixel."""
    return np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)


def numbered(count):
    """Images with their own number as pixel, labelled with its last digit."""
    numbers = np.arange(count)
    return Images(numbers.astype(np.float32).reshape(-1, 1, 1, 1), (numbers % 10).astype(np.int32))


def test_a_set_that_is_read_on_demand_keeps_the_order_of_its_file():
    x = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    lazy = OnDemand(np.arange(100), (1, 1, 1), lambda index: x[index])
    for part in split(Images(lazy, np.arange(100) % 2), 0.2, 0):
        assert isinstance(part.x, OnDemand)
        assert np.array_equal(part.x[:], np.sort(part.x[:], axis=0))
