"""A handmade data set: its parts, its variants and the names of its classes."""

import numpy as np
import pytest

from mnist_cnn.datasets import Dataset, Images, mnist
from mnist_cnn.datasets.images import OnDemand


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


def test_a_column_of_groups_is_flattened():
    data = made(test=None, groups=(np.arange(100) // 10)[:, None])
    assert not set(data.train().groups) & set(data.test().groups)


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


def test_variants_have_the_same_registered_model_but_mnist_in_colour_its_own():
    """The page prepares drawings for both, and they cannot be compared with each other."""
    assert mnist().first(300).one_hot().model_name == mnist().model_name
    assert mnist().first(300).rgb().model_name == f"{mnist().model_name}-rgb"
    assert made().rgb().model_name == made().model_name


def test_pixels_that_are_read_on_demand_are_made_rgb_when_they_are_read():
    data = on_demand(read := [])
    x = data.rgb().train().x
    assert isinstance(x, OnDemand) and x.shape == (100, 1, 1, 3) and read == []
    assert x[slice(7, 9)].tolist() == [[[[7, 7, 7]]], [[[8, 8, 8]]]]
    assert x.part(slice(50, 60))[slice(1)].tolist() == [[[[50, 50, 50]]]]
    assert read == [[7, 8], [50]]


def test_a_fifth_of_pixels_that_are_read_on_demand_is_set_aside():
    read = []
    data = on_demand(read, test=None)
    train, test = data.train().x, data.test().x
    assert isinstance(train, OnDemand) and 10 <= len(test) <= 30
    assert max(map(len, read)) == 1  # image by image, since all may not fit in memory
    assert sorted([*train[:].ravel(), *test[:].ravel()]) == list(range(100))


def on_demand(read, **changes):
    """The same images as bytes that are read on demand; `read` gets the places of each reading."""

    def pixels(places):
        read.append(places.tolist())
        return places.astype(np.uint8).reshape(-1, 1, 1, 1)

    def train():
        x = OnDemand(np.arange(100), (1, 1, 1), pixels)
        return Images(x, (np.arange(100) % 2).astype(np.int32))

    return made(**{"train": train} | changes)


def made(groups=None, test=lambda: None, **changes):
    """A hundred images of two classes; each has its own number as its pixel."""

    def train():
        x = np.arange(100, dtype=np.float32).reshape(-1, 1, 1, 1)
        names = np.array([f"file {number}" for number in range(100)])
        return Images(x, (np.arange(100) % 2).astype(np.int32), groups, names)

    given = {"name": "made", "digest": "0", "shape": (1, 1, 1), "classes": 2, "train": train}
    return Dataset(**given | changes, **({} if test is None else {"test": test}))
