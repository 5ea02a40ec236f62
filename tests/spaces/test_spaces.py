"""Every search space: its smallest and largest network are built, trained, saved and loaded."""

import importlib
import inspect

import keras
import keras_tuner
import numpy as np
import pytest
from extremes import Extreme
from projects import tracked

from mnist_cnn.training import saved_model
from mnist_cnn.training.saving import compile_for_evaluation
from search_spaces.augmentation import ALL

# The smallest and the largest number of parameters for ten classes of MNIST's images.
PARAMETERS = {
    "cnn": (9_098, 1_035_498),
    "resnet": (5_266, 900_000),
    "vgg": (1_418, 2_292_042),
    "tiny": (300, 20_000),
}
SHAPES = {"MNIST": ((28, 28, 1), 10), "digits": ((8, 8, 1), 3), "CIFAR": ((32, 32, 3), 100)}


def space_of(name):
    return getattr(importlib.import_module(f"search_spaces.{name}"), name)


def test_every_space_is_tested():
    files = {path.stem: path.read_text() for path in tracked("search_spaces/*.py")}
    assert {name for name, text in files.items() if f"def {name}(" in text} == PARAMETERS.keys()


@pytest.mark.parametrize(("shape", "classes"), SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_are_built_for_all_images(name, shape, classes):
    counts = []
    for largest in (False, True):
        model = space_of(name)(Extreme(largest), shape, classes, ALL, training_steps=10)
        assert (model.input_shape, model.output_shape) == ((None, *shape), (None, classes))
        counts.append(model.count_params())
    assert counts[0] < counts[1]
    if shape == (28, 28, 1):
        low, high = PARAMETERS[name]
        assert low <= counts[0] and counts[1] <= high


@pytest.mark.parametrize(
    ("largest", "shape"), [(False, "MNIST"), (False, "CIFAR"), (True, "digits")]
)
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_trains_is_saved_and_loaded(name, largest, shape, tmp_path):
    shape, classes = SHAPES[shape]
    space, hp = space_of(name), Extreme(largest)
    model = space(hp, shape, classes, ALL, training_steps=10)
    rng = np.random.default_rng(0)
    x, y = rng.random((4, *shape), dtype=np.float32), rng.integers(0, classes, 4)
    model.run_eagerly = True  # a single step is not worth the time to trace it
    before = [array.copy() for array in model.get_weights()]
    assert np.isfinite(model.train_on_batch(x, y)[0])
    assert any(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))

    saved = space(hp, shape, classes, ALL, training=False, training_steps=10)
    saved.set_weights(model.get_weights())
    compile_for_evaluation(saved, one_hot=False)
    saved.save(tmp_path / "model.keras")
    loaded = saved_model.load(tmp_path / "model.keras")  # refuses what plain Keras does not know
    probabilities = np.asarray(loaded(x))
    assert probabilities.shape == (4, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-3)
    np.testing.assert_allclose(probabilities, np.asarray(model(x, training=False)), atol=1e-5)


@pytest.mark.parametrize("name", PARAMETERS)
def test_large_and_oblong_images_are_halved_first(name):
    model = space_of(name)(Extreme(largest=False), (100, 70, 3), 5)
    assert model.output_shape == (None, 5)
    assert model.count_params() < 25_000  # the size does not follow that of the image


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("side", [1, 2, 5])
def test_images_of_few_pixels_fit(name, side):
    for largest in (False, True):
        model = space_of(name)(Extreme(largest), (side, side, 1), 2)
        assert model.output_shape == (None, 2)


WITHOUT_EFFECT = [
    ("vgg", {"normalisation": "none"}, "first_of_normalisation_and_activation"),
    ("tiny", {"depth_0": 1}, "separable_0"),  # one channel cannot be separated
    ("tiny", {f"filters_{stage}": 8 for stage in range(3)}, "narrowed"),
]


@pytest.mark.parametrize(("name", "values", "asked"), WITHOUT_EFFECT)
def test_a_hyperparameter_that_would_change_nothing_is_not_asked(name, values, asked):
    """Otherwise one network would be trained twice."""
    for fixed in ({}, values):
        hp = keras_tuner.HyperParameters()
        hp.values.update({"stages": 3, "depth_0": 2} | fixed)
        space_of(name)(hp)
        assert (asked in {one.name for one in hp.space}) == (not fixed)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_space_takes_what_the_others_take(name):
    hp = keras_tuner.HyperParameters()
    space_of(name)(hp)
    common = {"shift_pixels", "rotation_degrees", "optimizer", "label_smoothing", "dropout"}
    assert common <= hp.values.keys()
    assert {"schedule", "elastic_percent"} & hp.values.keys() == set()
    space_of(name)(hp := keras_tuner.HyperParameters(), distortions=ALL, training_steps=10)
    assert {*common, "schedule", "elastic_percent", "erasing_percent"} <= hp.values.keys()
    signatures = [list(inspect.signature(space_of(each)).parameters) for each in ("cnn", name)]
    assert signatures[0] == signatures[1]


def test_a_pre_activated_residual_network_is_linear_along_its_shortcuts():
    """Identity mappings: what enters a block of the same shape is added unchanged."""
    for pre_activation in (False, True):
        hp = keras_tuner.HyperParameters()
        hp.values.update(pre_activation=pre_activation, depth_0=2, stages=2)
        model = space_of("resnet")(hp)
        sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
        shortcut, _ = sums[1].input  # the second block of the first stage
        after = type(shortcut._keras_history.operation).__name__
        assert after == ("Add" if pre_activation else "Activation")


def test_a_bottleneck_has_fewer_parameters():
    def parameters(bottleneck):
        hp = keras_tuner.HyperParameters()
        hp.values.update(bottleneck=bottleneck, width=32)
        return space_of("resnet")(hp).count_params()

    assert parameters(True) < parameters(False) / 2
