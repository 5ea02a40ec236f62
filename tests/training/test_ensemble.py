"""The average of several models in one file: plain Keras, the mean of what its members answer."""

import keras
import numpy as np
import pytest
from keras import layers

from mnist_cnn.errors import UserError
from mnist_cnn.training import saved_model
from mnist_cnn.training.ensemble import write_average


def net(seed, outputs=10, activation="softmax", shape=(28, 28, 1)):
    """A model with all that acts otherwise in training."""
    keras.utils.set_random_seed(seed)
    stack = [
        keras.Input(shape),
        layers.RandomTranslation(0.2, 0.2),
        layers.Flatten(),
        layers.Dense(8, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Dense(outputs, activation=activation),
    ]
    return keras.Sequential(stack)


def two_outputs(seed):
    model = net(seed)
    second = layers.Dense(1, activation="sigmoid")(model.layers[-2].output)
    return keras.Model(model.inputs[0], [model.outputs[0], second])


def saved(folder, models):
    files = [folder / f"{number}.keras" for number in range(len(models))]
    for model, file in zip(models, files, strict=True):
        if not isinstance(model.output_shape, list):
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.save(file)
    return files


def test_it_answers_the_mean_of_its_members_and_nothing_is_random(tmp_path, images):
    files = saved(tmp_path, [net(seed) for seed in range(3)])
    write_average(files, tmp_path / "average.keras")
    model = keras.models.load_model(tmp_path / "average.keras")
    answers = [saved_model.predict(saved_model.load(file), images.x) for file in files]
    found = saved_model.predict(model, images.x)
    assert np.allclose(found, np.mean(answers, axis=0), atol=1e-6)
    assert np.array_equal(found, saved_model.predict(model, images.x))
    assert not np.allclose(found, answers[0], atol=1e-3)
    members = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    assert [member.name for member in members] == ["member_0", "member_1", "member_2"]
    assert not any(member.compiled for member in members)
    _, accuracy = model.evaluate(images.x, images.y, verbose=0)  # it is compiled for that
    assert accuracy == pytest.approx(np.mean(found.argmax(axis=1) == images.y))


def test_the_same_models_make_the_same_file(tmp_path):
    from mnist_cnn.keras_file import model_digest

    files = saved(tmp_path, [net(seed) for seed in range(2)])
    for name in ("one.keras", "two.keras"):
        write_average(files, tmp_path / name)
    assert model_digest(tmp_path / "one.keras") == model_digest(tmp_path / "two.keras")


REFUSED = {
    "outputs are not probabilities": lambda: [net(0, activation=None)] * 2,
    "they sum to": lambda: [net(0), net(1, activation="sigmoid")],
    "for an image": lambda: [net(0, outputs=1, activation="sigmoid")] * 2,
    "expected (None, height, width, channels) to (None, classes)": lambda: [two_outputs(0)] * 2,
    "models of different images cannot be averaged": lambda: [net(0), net(1, shape=(14, 14, 1))],
    "(None, 28, 28, 1) to (None, 11)": lambda: [net(0), net(1, outputs=11)],
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_averaged_is_refused_in_one_line(tmp_path, words):
    files = saved(tmp_path, REFUSED[words]())
    with pytest.raises(UserError) as refusal:
        write_average(files, tmp_path / "average.keras")
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert not (tmp_path / "average.keras").exists()
