"""Saved models on images: scores equal Keras's, plots are right, bad files are refused."""

import ast
import io
import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

import mnist_cnn
from mnist_cnn.datasets import mnist, parts
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.evaluation import evaluate as evaluation
from mnist_cnn.evaluation import plots
from mnist_cnn.evaluation.data import find
from mnist_cnn.evaluation.evaluate import correct, evaluate, examine
from mnist_cnn.known_data import dataset_at
from mnist_cnn.training import saved_model


def classifier(shape=(28, 28, 1), classes=10, activation="softmax"):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input(shape),
        keras.layers.Flatten(),
        keras.layers.Dense(classes, activation=activation),
    ]
    return keras.Sequential(layers)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory, images):
    """A small model, trained on 400 images."""
    model = classifier()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images.x, images.y, epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def data_file(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("data") / "own.npz"
    np.savez(path, x=np.rint(images.x[..., 0] * 255).astype(np.uint8), y=images.y)
    return str(path)


@pytest.fixture(scope="module")
def evaluated(model_file, data_file, tmp_path_factory):
    pictures = tmp_path_factory.mktemp("pictures") / "made"
    return evaluate(model_file, data_file, pictures), pictures


def test_accuracy_and_loss_are_what_keras_says(evaluated, model_file, images):
    loss, accuracy = keras.models.load_model(model_file).evaluate(images.x, images.y, verbose=0)
    found = evaluated[0]
    assert found.scores.accuracy == pytest.approx(accuracy)
    assert found.scores.loss == pytest.approx(loss, rel=1e-4)
    assert found.parameters == 7850
    assert found.single_image_ms > 0 and found.batch_ms > 0
    assert found.correct.shape == (400,) and found.correct.mean() == pytest.approx(accuracy)


def test_the_scores_are_valid_json(evaluated):
    text = json.dumps(evaluated[0].as_json(), allow_nan=False)
    assert json.loads(text)["classes"][0]["label"] == 0


def test_the_same_images_as_a_file_of_keras_four_arrays_and_one_hot_give_the_same(
    model_file, data_file, evaluated, images, tmp_path
):
    with np.load(data_file) as own:
        path = tmp_path / "four.npz"
        y = np.eye(10)[own["y"]]
        np.savez(path, x_train=own["x"], y_train=y, x_test=own["x"], y_test=y)
    assert np.array_equal(correct(model_file, str(path)), evaluated[0].correct)
    assert [examine(model_file, data)[0].is_test_set for data in (str(path), data_file)] == [
        True,
        False,
    ]


def test_every_picture_is_written(evaluated):
    assert {path.name for path in evaluated[1].iterdir()} == {
        "confusion.png",
        "reliability.png",
        "predictions.png",
        "worst_mistakes.png",
    }


# What the pictures show

MNIST_SHAPE = (28, 28, 1)
NAMES = [str(digit) for digit in range(10)]


def drawn(labels, answers, classes=10, shape=(28, 28, 1)):
    x = np.zeros((len(labels), *shape), np.float32)
    probabilities = np.full((len(labels), classes), 0.1 / (classes - 1))
    probabilities[np.arange(len(labels)), answers] = 0.9
    return x, np.array(labels), probabilities


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3)])
def test_the_grid_has_three_rows_of_five_with_predicted_and_actual_class(shape):
    x, labels, probabilities = drawn([3] * 20, [3] * 14 + [5] * 6, shape=shape)
    figure = plots.predictions(x, labels, probabilities, "own", NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 15
    assert titles[0] == "predicted 3 (90.0 %)\nactual 3"
    assert titles[14] == "predicted 5 (90.0 %)\nactual 3 (1.1 %)"
    assert "own" in figure.get_suptitle()


def test_the_worst_mistakes_come_first_and_correct_predictions_are_left_out():
    x, labels, probabilities = drawn([1, 2, 3], [1, 5, 6])
    probabilities[2, 3] = 1e-6
    figure = plots.worst_mistakes(x, labels, probabilities, "own", NAMES)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.splitlines()[1][:8] for title in titles] == ["actual 3", "actual 2"]
    assert figure.get_suptitle() == "The 2 worst of 2 mistakes on own"
    none = plots.worst_mistakes(x[:1], labels[:1], probabilities[:1], "own", NAMES)
    assert none.get_suptitle() == "No mistake on own"


def test_axes_are_labelled_and_titles_have_the_numbers():
    _, labels, probabilities = drawn([1, 2, 3], [1, 5, 6])
    confusion = plots.confusion_matrix(labels, probabilities, "own", NAMES).axes[0]
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("predicted class", "actual class")
    assert "2 of 3 images wrong" in confusion.get_title()
    upper, lower = plots.reliability(labels, probabilities, "own").axes
    assert "calibration error 56.67%" in upper.get_title()
    assert all([upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()])


def test_names_with_dollar_signs_are_no_formulas(tmp_path):
    name = "a$b_$c"
    x, labels, probabilities = drawn([0, 1, 2], [0, 2, 1], classes=3)
    plots.draw(x, labels, probabilities, name, tmp_path, [name, f"{name}d", f"{name}e"])
    assert len(list(tmp_path.glob("*.png"))) == 4


# Bad input


def with_lambda(path):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Lambda(lambda x: x)])
    model.add(classifier())
    model.save(path)


def with_a_named_function(path):
    """Even in safe mode, Keras loads a Lambda layer whose function it knows."""
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Lambda(keras.ops.relu)])
    model.add(classifier())
    model.save(path)


def cut_short(path):
    classifier().save(path)
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    classifier().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def zip_of_something_else(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def deeply_nested(path):
    weights = io.BytesIO()
    h5py.File(weights, "w").close()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"config": ' * 600 + "0" + "}" * 600)
        archive.writestr("model.weights.h5", weights.getvalue())


BAD = {
    "a lambda": (with_lambda, "Lambda"),
    "a named function": (with_a_named_function, "Lambda"),
    "cut short": (cut_short, "damaged"),
    "a flipped byte": (flipped, "damaged"),
    "no zip": (lambda path: path.write_text("hello"), "damaged"),
    "another zip": (zip_of_something_else, "damaged"),
    "a deeply nested configuration": (deeply_nested, "cannot load"),
    "missing": (lambda path: None, "there is no file"),
    "another shape": (
        lambda path: classifier((32, 32, 3)).save(path),
        "takes images of shape (32, 32, 3), but mnist has (28, 28, 1)",
    ),
    "more classes": (lambda path: classifier(classes=11).save(path), "11 classes, mnist has 10"),
    "no images": (lambda path: classifier((784,)).save(path), "expected (None, height"),
    "no probabilities": (
        lambda path: keras.Sequential(
            [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "sigmoid")]
        ).save(path),
        "the model's outputs are not probabilities",
    ),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_model_is_refused_in_one_line_before_the_test_set_is_opened(tmp_path, make, words):
    path = tmp_path / "bad.keras"
    make(path)
    with pytest.raises(UserError) as refusal:
        examine(path, "mnist")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_function_named_as_a_layers_class_is_never_called(tmp_path):
    """As an attacker would write it: the class of a layer is a function of the module `os`."""
    path, evil = tmp_path / "good.keras", tmp_path / "evil.keras"
    classifier().save(path)
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(evil, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name == "config.json":
                content = content.replace(
                    b'"keras.layers", "class_name": "Flatten"', b'"os", "class_name": "getcwd"'
                )
                assert b"getcwd" in content
            bad.writestr(name, content)
    with pytest.raises(UserError, match="cannot load"):
        saved_model.load(evil)


def test_outputs_that_are_not_probabilities_are_refused(tmp_path, data_file):
    classifier(activation=None).save(tmp_path / "logits.keras")
    with pytest.raises(UserError, match="not probabilities"):
        correct(tmp_path / "logits.keras", data_file)


def test_unknown_data_is_refused_with_the_valid_names(project):
    with pytest.raises(UsageError, match=r"'nope'.*mnist.*smoke.*path"):
        find("nope", MNIST_SHAPE, NAMES)


def test_a_name_means_an_experiments_data_set_or_one_of_the_package(project):
    assert find("smoke", MNIST_SHAPE, NAMES).info.name == "mnist-first-3000"
    found = find("mnist", MNIST_SHAPE, NAMES)
    assert found.info.digest == mnist().digest
    assert found.info.is_test_set and found.shape == MNIST_SHAPE


OWN = """
from dataclasses import replace

import numpy as np

from experiments.smoke import experiment as smoke
from mnist_cnn.datasets import Images, mnist


def test_images():
    few = mnist().test()[slice(20)]
    return Images({pixels}, {labels})


def images():
    return replace(mnist().first(200), test=test_images)


experiment = replace(smoke, dataset=images)
"""


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        ("few.x * 255", "few.y", r"the test images' x has 84 in image 0; expected \[0, 1\]"),
        ("few.x", "few.y + 5", "the test images' y has 12 for image 0"),
    ],
)
def test_invalid_test_images_are_refused_before_the_model_is_asked(
    project, tmp_path_factory, pixels, labels, words
):
    (project / "experiments" / "own.py").write_text(OWN.format(pixels=pixels, labels=labels))
    path = tmp_path_factory.mktemp("model") / "good.keras"
    classifier().save(path)
    for ask in (examine, correct):
        with pytest.raises(UsageError, match=words):
            ask(path, "own")


# Somebody's own images


def test_own_pictures_are_fitted_and_numbered_by_the_names_of_the_models_classes(tmp_path):
    names = ("bag", "boot", "coat")
    for name, level in (("coat", 200), ("bag", 10)):
        save_pictures(tmp_path / "mine" / name, size=(56, 56), levels=[level, level + 1, level + 2])
    found = find(str(tmp_path / "mine"), MNIST_SHAPE, names)
    images = found.read()
    assert images.x.shape == (6, *MNIST_SHAPE) and images.x.dtype == np.float32
    assert np.array_equal(images.labels, np.where(images.x[:, 0, 0, 0] > 0.5, 2, 0))
    assert not found.info.is_test_set and found.info.class_names == names


def test_sub_folders_with_numbers_are_these_classes_of_a_model_without_names(tmp_path):
    for digit in ("7", "3"):
        save_pictures(tmp_path / "mine" / digit, levels=[int(digit), 100])
    images = find(str(tmp_path / "mine"), MNIST_SHAPE, NAMES).read()
    assert sorted(set(images.labels.tolist())) == [3, 7]


def test_a_class_that_the_model_does_not_have_is_refused_by_name(tmp_path):
    for name in ("bag", "hat"):
        save_pictures(tmp_path / "mine" / name)
    with pytest.raises(UserError, match="'hat'; the model has bag, coat"):
        find(str(tmp_path / "mine"), MNIST_SHAPE, ("bag", "coat"))


def test_a_model_without_names_takes_as_many_other_names_in_their_order(tmp_path):
    for name in ("bag", "hat"):
        save_pictures(tmp_path / "mine" / name)
    assert set(find(str(tmp_path / "mine"), MNIST_SHAPE, ("0", "1")).read().labels) == {0, 1}


def test_the_classes_of_data_that_were_searched_are_matched_by_name_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in (("bag", 10), ("coat", 200)):
        save_pictures(tmp_path / "mine" / name, levels=range(level, level + 20))
    dataset_at(str(tmp_path / "mine"))
    found = find("mine", MNIST_SHAPE, ("coat", "bag"))
    images = found.read()
    assert found.info.is_test_set and found.info.class_names == ("coat", "bag")
    assert np.array_equal(images.labels, np.where(images.x[:, 0, 0, 0] > 0.5, 0, 1))
    with pytest.raises(UserError, match="mine has the class 'bag'; the model has coat, hat"):
        find("mine", MNIST_SHAPE, ("coat", "hat"))
    unnamed = find("mine", MNIST_SHAPE, ("0", "1"))
    assert unnamed.info.class_names == ("bag", "coat")


def test_pictures_that_were_searched_are_fitted_to_a_model_of_another_shape(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in (("bag", 10), ("coat", 200)):
        save_pictures(tmp_path / "mine" / name, (32, 32), range(level, level + 20))
    searched = dataset_at(str(tmp_path / "mine"))
    assert searched.shape == (32, 32, 1)
    found = find("mine", MNIST_SHAPE, ("bag", "coat"))
    assert found.shape == found.read().x.shape[1:] == MNIST_SHAPE
    assert found.info.is_test_set and len(found.read()) == len(searched.test())
    assert (found.info.test_id, found.info.model_name) == (searched.test_id, searched.model_name)


def test_a_model_of_four_channels_is_not_asked_about_pictures(tmp_path):
    classifier((28, 28, 4), classes=2).save(tmp_path / "four.keras")
    for name in ("0", "1"):
        save_pictures(tmp_path / "mine" / name)
    with pytest.raises(UserError, match=r"images of 4 channels.* one \(grey\) or three"):
        examine(tmp_path / "four.keras", str(tmp_path / "mine"))


def test_arrays_of_another_shape_are_refused(model_file, tmp_path):
    path = tmp_path / "small.npz"
    np.savez(path, x=np.arange(640).reshape(10, 8, 8) % 256, y=np.arange(10) % 2)
    with pytest.raises(UserError, match=r"takes images of shape \(28, 28, 1\).*\(8, 8, 1\)"):
        examine(model_file, str(path))


def test_images_that_are_read_on_demand_are_evaluated_alike(
    model_file, data_file, tmp_path, monkeypatch
):
    whole = evaluate(model_file, data_file)
    monkeypatch.setattr(parts, "LARGE_BYTES", 0)
    monkeypatch.setattr(evaluation, "PIECE_BYTES", 28 * 28 * 150)
    pieces = evaluate(model_file, data_file, tmp_path / "pictures")
    assert pieces.images_sha256 == whole.images_sha256
    assert np.array_equal(pieces.correct, whole.correct)
    assert pieces.scores.loss == pytest.approx(whole.scores.loss, rel=1e-5)
    assert (tmp_path / "pictures" / "worst_mistakes.png").exists()


def test_a_model_that_reads_the_negatives_better_is_told(digit_model, data_file, tmp_path):
    with np.load(data_file) as own:
        np.savez(tmp_path / "negatives.npz", x=255 - own["x"], y=own["y"])
    assert evaluate(digit_model, data_file).warnings == ()
    (line,) = evaluate(digit_model, str(tmp_path / "negatives.npz")).warnings
    assert "of their negatives" in line


def save_pictures(folder, size=(28, 28), levels=(10, 20)):
    folder.mkdir(parents=True)
    for level in levels:
        Image.fromarray(np.full(size, level, np.uint8)).save(folder / f"{level}.png")


# These look at the images without asking a model, so nothing can be chosen by them.
READ_WITHOUT_A_MODEL = {
    "known_data.py",
    *(f"datasets/{name}.py" for name in ("dataset", "check", "survey", "overview")),
}


def test_only_one_module_can_open_a_test_set_to_a_model():
    """No other module reads an attribute `test`, which would bypass the lockbox."""
    package = Path(mnist_cnn.__file__).parent
    readers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "test"
    }
    assert readers == {*READ_WITHOUT_A_MODEL, "evaluation/data.py"}
