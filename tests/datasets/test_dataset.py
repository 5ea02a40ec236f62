"""A handmade data set: its parts, its variants and the names of its classes."""

import numpy as np
import pytest

from mnist_cnn.datasets import Dataset, Images, mnist


def test_first_keeps_the_first_training_images_and_the_whole_test_set():
    few, whole = mnist().first(300), mnist()
    assert np.array_equal(few.train().x, whole.train().x[:300])
    assert np.array_equal(few.train().y, whole.train().y[:300])
    assert np.array_equal(few.test().y, whole.test().y)


def test_first_makes_a_different_data_set_of_the_same_shape():
    few, fewer, whole = mnist().first(300), mnist().first(299), mnist()
    assert (few.shape, few.classes) == (whole.shape, whole.classes)
    assert len({few.digest, fewer.digest, whole.digest}) == 3
    assert len({few.name, fewer.name, whole.name}) == 3
    assert few.digest == mnist().first(300).digest


def test_class_names_default_to_numbers():
    assert mnist().class_names == tuple("0123456789")
    assert made(class_names=("cat", "dog")).class_names == ("cat", "dog")
    assert made(class_names=("cat", "dog")).one_hot().class_names == ("cat", "dog")


@pytest.mark.parametrize("variant", [Dataset.one_hot, Dataset.rgb, lambda data: data.first(50)])
def test_a_variant_keeps_groups_and_names(variant):
    images = variant(made(groups=np.arange(100) // 2)).train()
    assert images.groups.tolist() == (np.arange(100) // 2)[: len(images)].tolist()
    assert images.name(3) == "file 3"


def test_a_column_of_labels_is_flattened():
    """Keras's CIFAR has such labels. Read as one-hot, they would all be class 0."""
    images = Images(np.zeros((3, 1, 1, 1), np.float32), np.array([[2], [0], [1]]))
    assert images.y.shape == (3,) and images.labels.tolist() == [2, 0, 1]


def test_images_without_names_are_called_by_their_index():
    assert Images(np.zeros((3, 1, 1, 1), np.float32), np.zeros(3)).name(2) == "image 2"


def test_without_a_test_part_a_fifth_is_set_aside():
    data = made(test=None)
    train, test = data.train(), data.test()
    assert 10 <= len(test) <= 30
    assert sorted([*train.x.ravel(), *test.x.ravel()]) == list(range(100))
    assert np.array_equal(data.test().x, test.x)
    assert set(test.labels) == {0, 1}


def test_without_a_test_part_groups_stay_whole():
    data = made(test=None, groups=np.arange(100) // 10)
    assert not set(data.train().groups) & set(data.test().groups)


def test_variants_share_the_test_images_that_were_set_aside():
    data = made(test=None)
    assert np.array_equal(data.first(10).test().x, data.test().x)
    assert np.array_equal(data.one_hot().train().x, data.train().x)


def test_variants_name_the_test_images_that_they_share():
    variants = [mnist(), mnist().first(300), mnist().one_hot(), mnist().first(300).rgb()]
    assert {each.test_id for each in variants} == {mnist().digest}
    assert made().test_id == made().digest


def made(groups=None, test=lambda: None, **changes):
    """A hundred images of two classes; each has its own number as its pixel."""

    def train():
        x = np.arange(100, dtype=np.float32).reshape(-1, 1, 1, 1)
        names = np.array([f"file {number}" for number in range(100)])
        return Images(x, (np.arange(100) % 2).astype(np.int32), groups, names)

    given = {"name": "made", "digest": "0", "shape": (1, 1, 1), "classes": 2, "train": train}
    return Dataset(**given, **({} if test is None else {"test": test}), **changes)
