"""The scores of an evaluation, against numbers calculated by hand or published."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_cnn.evaluation.scores import (
    BINS,
    calibration,
    calibration_error,
    confusion,
    score,
    wilson,
)

# Four images of three classes; the predictions are 0, 0, 1, 2.
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.0, 0.9]])
LABELS = np.array([0, 1, 1, 2])


def test_accuracy_and_loss_by_hand():
    found = score(PROBABILITIES, LABELS)
    assert (found.images, found.accuracy) == (4, 0.75)
    assert found.loss == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.9]).mean())


def test_a_certain_mistake_has_the_loss_of_keras_and_not_infinity():
    assert score(np.array([[1.0, 0.0]]), np.array([1])).loss == pytest.approx(-np.log(1e-7))


def test_precision_and_recall_by_hand():
    zero, one, two = score(PROBABILITIES, LABELS).classes
    assert (zero.images, zero.precision, zero.recall) == (1, 0.5, 1.0)
    assert (one.images, one.precision, one.recall) == (2, 1.0, 0.5)
    assert (two.images, two.precision, two.recall) == (1, 1.0, 1.0)


def test_a_class_never_predicted_has_no_precision_and_one_without_images_no_recall():
    classes = score(np.array([[0.9, 0.1, 0.0]]), np.array([1])).classes
    assert (classes[0].precision, classes[0].recall) == (0.0, None)
    assert (classes[1].precision, classes[1].recall) == (None, 0.0)
    assert (classes[2].precision, classes[2].recall) == (None, None)


def test_confusion_has_actual_classes_as_rows():
    counts = confusion(np.array([0, 0, 1, 2]), LABELS, 3)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


# R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I.
@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1),
    ],
)
def test_the_interval_is_the_published_one(correct, images, low, high):
    assert wilson(correct, images) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("confidence", "place"),
    [(1 / 15, 0), (0.4, 5), (0.4000001, 6), (0.95, 14), (1.0, 14)],
)
def test_a_confidence_on_an_edge_belongs_to_the_lower_bin(confidence, place):
    probabilities = np.array([[confidence, *[0.0] * 15]])
    assert [b.images for b in calibration(probabilities, np.array([0]))].index(1) == place


def test_the_calibration_error_by_hand():
    # Three predictions of confidence 0.9, of which two are correct, and a correct one of 0.5.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
    error = calibration_error(calibration(probabilities, np.array([0, 0, 1, 0])))
    assert error == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * (1 - 0.5))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(2, 12), st.integers(0, 2**31))
def test_every_image_is_in_one_bin_and_the_error_is_a_share(images, classes, seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), images)
    bins = calibration(probabilities, random.integers(0, classes, images))
    assert len(bins) == BINS
    assert sum(b.images for b in bins) == images
    assert 0 <= calibration_error(bins) <= 1
    for place, b in enumerate(bins):
        if b.images:
            assert place / BINS - 1e-9 <= b.confidence <= (place + 1) / BINS + 1e-9
