"""Distortions: each acts in training only, and the elastic one moves pixels smoothly."""

import keras
import keras_tuner
import numpy as np
import pytest

from search_spaces.augmentation import ALL, LIGHT, ElasticDistortion, augmented

STRENGTHS = {
    "shift": ("shift_pixels", 2),
    "rotation": ("rotation_degrees", 15),
    "zoom": ("zoom_percent", 20),
    "shear": ("shear_percent", 20),
    "elastic": ("elastic_percent", 6),
    "erasing": ("erasing_percent", 50),
}


def distorter(values, kinds=ALL, training=True, shape=(28, 28, 1)):
    """A model that returns what becomes of its images, and the hyperparameters."""
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    inputs = keras.Input(shape)
    return keras.Model(inputs, augmented(hp, inputs, kinds, training)), hp


@pytest.fixture(scope="module")
def images():
    """Sixteen times the same image: a square of grey values that differ."""
    image = np.zeros((28, 28, 1), np.float32)
    image[8:20, 8:20, 0] = np.linspace(0.2, 1, 144).reshape(12, 12)
    return np.stack([image] * 16)


@pytest.mark.parametrize("kind", ALL)
def test_a_distortion_acts_in_training_only_and_on_each_image_by_itself(kind, images):
    model, _ = distorter(dict([STRENGTHS[kind]]))
    assert len(model.layers) == 2
    np.testing.assert_array_equal(model(images, training=False), images)
    found = np.asarray(model(images, training=True))
    assert found.shape == images.shape and found.min() >= 0 and found.max() <= 1
    assert len({image.tobytes() for image in found}) > 2
    assert not np.array_equal(found, model(images, training=True))


def test_what_is_off_has_no_layer_and_what_is_not_asked_for_no_hyperparameter():
    model, hp = distorter({})
    assert len(model.layers) == 1
    assert set(hp.values) == {name for name, _ in STRENGTHS.values()}
    assert set(hp.values.values()) == {0}
    _, hp = distorter({}, LIGHT)
    assert set(hp.values) == {"shift_pixels", "rotation_degrees"}


def test_a_model_to_be_saved_has_no_distortion_but_all_hyperparameters(images):
    model, hp = distorter(dict(STRENGTHS.values()), training=False)
    assert len(model.layers) == 1
    assert hp.values == dict(STRENGTHS.values())


def test_an_unknown_kind_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match=r"no augmentation 'flip'; valid: shift, .*, erasing"):
        distorter({}, ["shift", "flip"])


def test_strong_distortions_fit_an_image_of_two_pixels():
    model, _ = distorter(dict(STRENGTHS.values()), shape=(2, 2, 3))
    x = np.random.default_rng(0).random((5, 2, 2, 3), dtype=np.float32)
    assert np.asarray(model(x, training=True)).shape == x.shape


def ramps(height, width):
    """An image whose channels are the row and the column of each pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns], axis=-1).astype(np.float32)


def test_the_elastic_field_is_smooth_differs_by_axis_and_has_the_given_strength():
    """Bilinear interpolation of a ramp is exact, so a distorted ramp shows the field itself."""
    keras.utils.set_random_seed(3)
    image = ramps(40, 28)
    layer = ElasticDistortion(0.02)
    found = np.asarray(layer(np.stack([image] * 64), training=True))
    shifts = (found - image)[:, 8:-8, 8:-8]  # away from the border, where they are cut off
    rows, columns = shifts[..., 0], shifts[..., 1]
    assert 0.5 * 0.02 * 40 < rows.std() < 1.2 * 0.02 * 40
    assert 0.5 * 0.02 * 28 < columns.std() < 1.2 * 0.02 * 28
    assert abs(np.corrcoef(rows.ravel(), columns.ravel())[0, 1]) < 0.2
    assert abs(np.diff(rows, axis=1)).mean() < 0.3 * rows.std()
    assert abs(np.diff(columns, axis=2)).mean() < 0.3 * columns.std()


def test_pixels_come_from_inside_of_their_own_image():
    keras.utils.set_random_seed(3)
    x = np.stack([np.full((9, 9, 1), value, np.float32) for value in (0.1, 0.5, 0.9)])
    found = np.asarray(ElasticDistortion(0.5)(x, training=True))
    np.testing.assert_allclose(found, x, atol=1e-6)  # also the last one, at the padding
