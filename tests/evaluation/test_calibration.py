"""The temperature: found where it is known, kept in the file, left out where it does not fit."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax, softmax

from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.calibration import best_temperature, calibrate
from mnist_cnn.evaluation.scores import calibration, calibration_error
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.training import saved_model
from mnist_cnn.training.data import load_data
from mnist_cnn.training.ensemble import write_average


def answered(temperature, members=1, images=20_000):
    """The logits of models that differ a little, and labels as if divided by `temperature`."""
    random = np.random.default_rng(0)
    common = random.normal(0, 4, (images, 5))
    logits = common + random.normal(0, 0.5 * (members > 1), (members, images, 5))
    chances = softmax(logits / temperature, axis=2).mean(axis=0)
    labels = (random.random((images, 1)) > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return log_softmax(logits, axis=2), labels


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("temperature", [0.5, 1, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature, members):
    found = best_temperature(*answered(temperature, members))
    assert found == pytest.approx(temperature, rel=0.05)
    assert found == round(found, 3)


def test_where_no_mistake_is_made_or_none_is_avoided_there_is_no_temperature():
    logits, _ = answered(1)
    assert best_temperature(logits, logits[0].argmax(axis=1)) is None
    assert best_temperature(logits, logits[0].argmin(axis=1)) is None
    # The loss of a confident model is rounded to zero before the temperature reaches its bound.
    for margin in (5, 10, 20):
        confident = log_softmax(margin * np.eye(4)[np.arange(54) % 4][None], axis=2)
        assert best_temperature(confident, np.arange(54) % 4) is None


# Of real models, on the validation images of the experiment `small`


@pytest.fixture
def experiment(small):
    small.write("space=dense")
    return small


def trained(images, *last, confident=12):
    """A small model with these last layers, of which the first has weights that are too large."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.MaxPooling2D(4)(inputs))
    for layer in last:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images.x, images.y, epochs=10, verbose=0)
    last[0].set_weights([confident * weight for weight in last[0].get_weights()])
    return model


def predicted(file, x):
    return saved_model.predict(saved_model.load(file), x)


def stacked(images):
    inner = trained(images, layers.Dense(10, "softmax"))
    return keras.Sequential([keras.Input((28, 28, 1)), inner])


SCALED = {
    "dense": lambda images: trained(images, layers.Dense(10, activation="softmax")),
    "activation": lambda images: trained(images, layers.Dense(10), layers.Activation("softmax")),
    "softmax": lambda images: trained(images, layers.Dense(10), layers.Softmax()),
    "without bias": lambda images: trained(images, layers.Dense(10, "softmax", use_bias=False)),
    "model in a model": stacked,
}


@pytest.mark.parametrize("kind", SCALED)
def test_the_file_has_the_temperature_in_its_weights(experiment, images, tmp_path, kind):
    before, after = tmp_path / "before.keras", tmp_path / "after.keras"
    SCALED[kind](images).save(before)
    found = calibrate(before, "small", {}, after)
    validation = load_data(ExperimentId("small")).validation.scaled()
    one, two = (predicted(file, validation.x) for file in (before, after))
    assert found.temperature > 1.5 and found.images == len(validation) and found.changed == 0
    assert np.array_equal(one.argmax(axis=1), two.argmax(axis=1))
    logits = np.log(np.maximum(one, 1e-38))
    assert np.allclose(two, softmax(logits / found.temperature, axis=1), atol=1e-4)
    errors = [calibration_error(calibration(each, validation.labels)) for each in (one, two)]
    assert [found.error_before, found.error_after] == pytest.approx(errors, abs=1e-3)
    assert errors[1] < errors[0]
    counts = [keras.models.load_model(file).count_params() for file in (before, after)]
    assert counts[0] == counts[1]


def test_the_members_of_an_average_share_one(experiment, images, tmp_path):
    files = [tmp_path / f"{number}.keras" for number in range(2)]
    for confident, file in zip((8, 16), files, strict=True):
        trained(images, layers.Dense(10, "softmax"), confident=confident).save(file)
    write_average(files, tmp_path / "before.keras")
    found = calibrate(tmp_path / "before.keras", "small", {}, tmp_path / "after.keras")
    x = load_data(ExperimentId("small")).validation.scaled().x
    logits = [np.log(np.maximum(predicted(file, x), 1e-38)) for file in files]
    expected = np.mean([softmax(each / found.temperature, axis=1) for each in logits], axis=0)
    assert np.allclose(predicted(tmp_path / "after.keras", x), expected, atol=1e-4)
    assert found.temperature > 1.5 and found.error_after < found.error_before


def shared(images):
    """A dense layer that is used twice: what it weighs is not only the logits."""
    dense = layers.Dense(10, "softmax")
    inputs = keras.Input((28, 28, 1))
    first = dense(layers.Flatten()(layers.MaxPooling2D(9)(inputs)))  # of nine values
    model = keras.Model(inputs, dense(layers.Dense(9)(first)))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images.x, images.y, epochs=5, verbose=0)
    dense.set_weights([3 * weight for weight in dense.get_weights()])
    return model


def reshaped(images):
    return trained(images, layers.Dense(10, "softmax"), layers.Reshape((10,)))


LEFT = {
    "its last layer is not a dense one with a softmax": reshaped,
    "the weights of its last layer are used elsewhere too": shared,
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_has_no_such_last_layer_is_refused(experiment, images, tmp_path, reason):
    LEFT[reason](images).save(tmp_path / "before.keras")
    with pytest.raises(UserError, match=f"calibrated: {reason}; leave out --calibrate"):
        calibrate(tmp_path / "before.keras", "small", {}, tmp_path / "after.keras")
    assert not (tmp_path / "after.keras").exists()


def test_images_that_the_model_may_have_been_trained_on_are_not_used(experiment, images, tmp_path):
    trained(images, layers.Dense(10, "softmax")).save(tmp_path / "before.keras")
    fields = {"seed": "7", "validation_fraction": "0.25"}
    with pytest.raises(UserError, match="seed was 7 in the search and is 0 now"):
        calibrate(tmp_path / "before.keras", "small", fields, tmp_path / "after.keras")


def test_a_calibrated_model_is_not_calibrated_again(experiment, images, tmp_path):
    trained(images, layers.Dense(10, "softmax")).save(tmp_path / "before.keras")
    calibrate(tmp_path / "before.keras", "small", {}, tmp_path / "once.keras")
    with pytest.raises(UserError, match="the best temperature is 1, so nothing would change"):
        calibrate(tmp_path / "once.keras", "small", {}, tmp_path / "twice.keras")
    assert not (tmp_path / "twice.keras").exists()
