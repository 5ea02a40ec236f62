"""The check of a handmade data set: one line names what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from mnist_cnn.datasets import Dataset, Images, check, mnist
from mnist_cnn.errors import UsageError

COUNT = 60
X = np.random.default_rng(0).random((COUNT, 4, 4, 1), dtype=np.float32)
Y = (np.arange(COUNT) % 3).astype(np.int32)


def made(train=None, test=None, **changes):
    """A data set that passes the check, except for the given changes."""
    given = {
        "name": "own",
        "digest": "0",
        "shape": (4, 4, 1),
        "classes": 3,
        "train": lambda: Images(X, Y) if train is None else train,
        "test": lambda: Images(X, Y) if test is None else test,
    }
    return Dataset(**given | changes)


def refused(data, *words, **options):
    with pytest.raises(UsageError) as refusal:
        check(data, **options)
    (line,) = str(refusal.value).splitlines()
    for word in ("'own'", *words):
        assert word in line


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def named(x=X, y=Y):
    return Images(x, y, names=np.array([f"f{number}.png" for number in range(COUNT)]))


def test_mnist_passes_as_it_is_and_in_its_variants():
    data = mnist()
    check(data, validation_fraction=1 / 12, batch_size=256)
    check(data.first(300).one_hot(), validation_fraction=1 / 6, batch_size=100)


@pytest.mark.parametrize(
    "images",
    [
        Images((X * 255).astype(np.uint8), Y),
        Images(X, Y.astype(np.int64)),
        Images(X, Y.astype(np.uint8)[:, None]),
        Images(X, np.eye(3, dtype=np.float32)[Y]),
        Images(X, Y, np.arange(COUNT)),
        Images(X, Y, np.arange(COUNT)[:, None]),
        named(),
    ],
)
def test_all_valid_kinds_of_images_pass(images):
    check(made(images, images), validation_fraction=0.2, batch_size=32)
    check(replace(made(images, images), test=made().test))


FACTS = {
    "two dimensions": ({"shape": (4, 4)}, ["(4, 4)", "(height, width, channels)"]),
    "no channel": ({"shape": (4, 4, 0)}, ["(4, 4, 0)"]),
    "one class": ({"classes": 1, "class_names": ("cat",)}, ["1 class", "'cat'", "two or more"]),
    "no class": ({"classes": 0}, ["0 class"]),
    "too few names": ({"class_names": ("cat", "dog")}, ["3 classes", "2 class names"]),
    "a name twice": ({"class_names": ("a", "b", "a")}, ["two classes", "'a'"]),
}


@pytest.mark.parametrize(("changes", "words"), FACTS.values(), ids=FACTS.keys())
def test_inconsistent_facts_are_refused(changes, words):
    refused(made(**changes), *words)


IMAGES = {
    "a tuple": ((X, Y), ["tuple", "not Images"]),
    "a list of pixels": (Images(X.tolist(), Y), ["x is list"]),
    "a list of labels": (Images(X, Y.tolist()), ["y is list"]),
    "no channel": (Images(X[..., 0], Y), ["(60, 4, 4)", "(n, 4, 4, 1)"]),
    "another shape": (Images(X[:, :3], Y), ["(60, 3, 4, 1)"]),
    "fewer labels": (Images(X, Y[:9]), ["60", "y has 9"]),
    "groups in two columns": (Images(X, Y, np.stack([Y, Y], 1)), ["groups", "(60, 2)", "(n,)"]),
    "names in a column": (Images(X, Y, names=Y.astype(str)[:, None]), ["names", "(60, 1)"]),
    "fewer groups": (Images(X, Y, Y[:9]), ["60", "groups has 9"]),
    "nothing": (Images(X[:0], Y[:0]), ["empty"]),
    "float64": (Images(X.astype(float), Y), ["float64", "float32", "uint8"]),
    "integers": (Images((X * 255).astype(int), Y), ["int64", "astype"]),
    "0 to 255": (Images(X * 255, Y), ["[0, 1]", "image 0"]),
    "-1 to 1": (named(changed(X, (7, 1, 1), -0.5)), ["-0.5", "f7.png"]),
    "NaN": (named(changed(X, (8, 1, 1), np.nan)), ["nan", "f8.png"]),
    "infinite": (named(changed(X, (9, 1, 1), np.inf)), ["inf", "f9.png"]),
    "labels from 1": (named(y=Y + 1), ["3", "f2.png", "0 to 2"]),
    "negative labels": (named(y=Y - 1), ["-1", "f0.png", "0 to 2"]),
    "labels as floats": (Images(X, Y.astype(float)), ["float64", "int32"]),
    "labels as text": (Images(X, Y.astype(str)), ["<U", "whole numbers"]),
    "one-hot of four": (Images(X, np.eye(4)[Y]), ["(60, 4)", "(n, 3)"]),
    "no one-hot": (Images(X, np.ones((COUNT, 3))), ["image 0", "not one-hot"]),
    "one-hot of NaN": (Images(X, np.full((COUNT, 3), np.nan)), ["image 0", "not one-hot"]),
    "labels in three dimensions": (Images(X, np.zeros((COUNT, 1, 1), int)), ["(60, 1, 1)"]),
    "a class missing": (Images(X[Y < 2], Y[Y < 2]), ["'2'", "no"]),
}


@pytest.mark.parametrize(("images", "words"), IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("part", ["train", "test"])
def test_wrong_images_are_refused_in_either_part(images, words, part):
    refused(made(**{part: images}), "training" if part == "train" else "test", *words)


def test_a_class_with_one_image_is_named():
    keep = np.concatenate([np.flatnonzero(Y < 2), [2]])
    refused(made(Images(X[keep], Y[keep])), "'2'", "1 training image")
    check(made(test=Images(X[keep], Y[keep])))  # one to test on will do


def test_too_few_images_for_the_split_or_a_batch_are_refused():
    few = Images(X[:6], Y[:6])
    check(made(few))
    refused(made(few), "6 training images", "validation part", validation_fraction=1 / 12)
    refused(
        made(), "48 training", "remain", "batch of 256", validation_fraction=0.2, batch_size=256
    )
    keep = np.concatenate([np.flatnonzero(Y > 0), [0, 3]])
    rare = Images(X[keep], Y[keep])
    refused(made(rare), "class '0'", "after the split", validation_fraction=0.8)


def test_a_single_group_cannot_be_split():
    images = Images(X, Y, np.zeros(COUNT, int))
    refused(made(images), "cannot be split", "groups", validation_fraction=0.2)
    without_test = replace(made(images), test=Dataset.__dataclass_fields__["test"].default)
    refused(without_test, "test images are empty")
