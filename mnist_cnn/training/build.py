"""From a search space and hyperparameters to a compiled model."""

import functools
import inspect
from math import prod
from typing import Any

import keras
import keras_tuner
import numpy as np

from mnist_cnn.datasets import Dataset, Images
from mnist_cnn.experiment import Experiment, SearchSpace
from mnist_cnn.training.batches import calls_of_epoch
from mnist_cnn.training.data import Data
from mnist_cnn.training.failure import TrainingFailed


def build(
    experiment: Experiment,
    data: Data,
    hp: keras_tuner.HyperParameters,
    *,
    epochs: int | None = None,
    training: bool = True,
) -> keras.Model:
    """Return the model that the experiment's space builds.

    The model is compiled and accepts the data set's images, unless the space has its own `fit`,
    which may compile and convert as it likes.

    Args:
        experiment: The experiment. A space that is a function gets what its parameters name, see
            `_offers`.
        data: Its images.
        hp: The hyperparameters.
        epochs: The number of epochs of the run. None uses the experiment's.
        training: Whether the model is built to be trained, not to be saved.

    Raises:
        TrainingFailed: The space returns something that is not such a model.
    """
    space, dataset = experiment.space, data.dataset
    if isinstance(space, keras_tuner.HyperModel):
        model = space.build(hp)
    else:
        model = space(hp, **_offers(experiment, data, epochs or experiment.epochs, training))
    if model is None:
        raise TrainingFailed("the search space returned nothing; end it with `return model`")
    if not isinstance(model, keras.Model):
        raise TrainingFailed(
            f"the search space returned {type(model).__name__}, not a compiled keras.Model"
        )
    _give_float32(model)
    if has_own_fit(space):  # which knows what its model takes
        return model
    if not model.compiled:
        raise TrainingFailed(
            "the search space returned a model that is not compiled; call `model.compile` before "
            "`return model`"
        )
    build_for_images(model, dataset)
    shape = getattr(model, "input_shape", None)  # a subclass has none
    if shape is not None and shape[1:] != dataset.shape:
        raise TrainingFailed(
            f"the model takes images of shape {shape[1:]}, but the data set has {dataset.shape}"
        )
    return model


def _offers(experiment: Experiment, data: Data, epochs: int, training: bool) -> dict[str, Any]:
    """Return what the experiment's space gets besides `hp`, by the names of its parameters.

    - `input_shape`, `classes`, `class_names`: those of the data set.
    - `training`: False if the model is built to be saved. A space may then leave out what only
      acts in training, such as a layer of its own, which plain Keras would not load.
    - `training_steps`: The total number of batches, for a learning rate schedule that needs it.
      None if the experiment has rungs, because training may then stop at any of them.
    """
    space, dataset = experiment.space, data.dataset
    steps = prod(calls_of_epoch(experiment, data.train))
    offered = {
        "input_shape": dataset.shape,
        "classes": dataset.classes,
        "class_names": dataset.class_names,
        "training": training,
        "training_steps": None if experiment.screen else epochs * steps,
    }
    return {name: value for name, value in offered.items() if wants(space, name)}


def wants(space: SearchSpace, name: str) -> bool:
    """Return whether `space` is a function with a parameter `name` that is not set yet."""
    if isinstance(space, keras_tuner.HyperModel):
        return False
    chosen = space.keywords if isinstance(space, functools.partial) else {}
    return name in inspect.signature(space).parameters and name not in chosen


def _give_float32(model: keras.Model) -> None:
    """Have the layers that give the outputs compute in float32, even in mixed precision.

    This is Keras's advice: some metrics do not take half precision, and a loss is coarse in it. A
    subclass does not reveal which layers these are.
    """
    if isinstance(model, keras.Sequential):
        last = model.layers[-1:]
    else:
        outputs = keras.tree.flatten(getattr(model, "outputs", None))
        last = [output._keras_history.operation for output in outputs if output is not None]
    for layer in last:
        if isinstance(layer, keras.Model):
            _give_float32(layer)
        elif isinstance(layer, keras.Layer) and layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"


def build_for_images(model: keras.Model, dataset: Dataset) -> None:
    """Create the weights of a model that has none yet, for images of the data set's shape.

    Such a model is a Sequential that does not begin with an Input, or a subclass.
    """
    if model.built:
        return
    if isinstance(model, keras.Sequential):
        model.build((None, *dataset.shape))
    else:
        model(np.zeros((1, *dataset.shape), np.float32))


def build_metrics(model: keras.Model, images: Images) -> None:
    """Create the variables of the compiled metrics, which are created when they are first used."""
    one = images[slice(1)].scaled().x
    prediction = model(one, training=False)
    model.compute_metrics(one, images.y[:1], prediction, sample_weight=None)


def build_metrics_before_tracing(model: keras.Model, images: Images) -> None:
    """Call `build_metrics` if that saves time.

    If they were created inside the training or evaluation function, TensorFlow would trace it
    twice, which takes up to a second. Keras's other backends create them earlier, and JAX takes
    seconds for what is not compiled as a whole.
    """
    if keras.config.backend() == "tensorflow":
        build_metrics(model, images)


def has_own_fit(space: SearchSpace) -> bool:
    """Return whether `space` is a HyperModel that overrides `fit`."""
    return getattr(type(space), "fit", None) not in (None, keras_tuner.HyperModel.fit)
