"""scikit-learn's digits, a second real data set that needs no network."""

import numpy as np
from sklearn.datasets import load_digits

from mnist_cnn.datasets import check, digits


def test_all_digits_are_there_with_their_labels():
    data = digits()
    check(data, validation_fraction=1 / 12, batch_size=256)
    own = load_digits()
    expected = {image.tobytes(): label for image, label in zip(own.images, own.target, strict=True)}
    found = {}
    for images in (data.train(), data.test()):
        for x, label in zip(images.x, images.y, strict=True):
            found[np.rint(x[..., 0] * 16).astype(float).tobytes()] = label
    assert found == expected and len(found) == 1797


def test_a_fifth_of_each_class_is_set_aside():
    train, test = digits().train(), digits().test()
    shares = np.bincount(test.y) / (np.bincount(train.y) + np.bincount(test.y))
    assert np.abs(shares - 0.2).max() < 0.1 and digits().digest == digits().digest
