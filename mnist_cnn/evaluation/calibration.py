"""Calibration: a temperature makes a model as confident as it is accurate.

All logits are divided by one number, the temperature, which minimises the cross-entropy on the
validation images (C. Guo et al., "On Calibration of Modern Neural Networks", 2017). It is kept in
the weights of the layer that computes the logits, so the file stays plain Keras. A single model
answers the same classes as before.

The members of an average share one temperature, the best one for the average. An average of members
that were calibrated one by one would not be confident enough (R. Rahaman and A. H. Thiery,
"Uncertainty Quantification and Deep Ensembles", 2021).
"""

from collections.abc import Mapping
from math import exp, log
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from mnist_cnn.datasets import Images
from mnist_cnn.errors import UserError
from mnist_cnn.evaluation.scores import Calibration, calibration, calibration_error
from mnist_cnn.files import replace_file
from mnist_cnn.project.fingerprint import describe
from mnist_cnn.project.loading import find_experiment, load_experiment
from mnist_cnn.training import saved_model
from mnist_cnn.training.batches import evaluation_batches
from mnist_cnn.training.data import load_data

LOWEST, HIGHEST = 0.1, 10.0  # temperatures
MAX_DIFFERENCE = 1e-3  # of a probability from what the temperature should make of it


def calibrate(model_file: Path, data: str, fields: Mapping[str, str], target: Path) -> Calibration:
    """Choose a temperature on an experiment's validation images, and write the calibrated model.

    Args:
        model_file: The .keras file of a model, or of an average of models.
        data: The name of the experiment.
        fields: The fields that determined which images the model was validated on, as `describe`
            gives them. Those that are not known are missing.
        target: The .keras file to write.

    Returns:
        The temperature and what it changes.

    Raises:
        UserError: There is no such temperature, or no layer to keep it in; the model cannot be
            loaded or does not answer probabilities; or the images cannot be read. No file is
            written.
    """
    keras.backend.clear_session()  # the names that Keras counts are then the same each time
    model = saved_model.load(model_file)
    parts = _parts(model)
    layers = [_logits_layer(part) for part in parts]
    if not all(layers):
        raise _refusal("its last layer is not a dense one with a softmax")
    experiment = find_experiment(data)
    now = describe(load_experiment(experiment))
    for name, text in fields.items():
        if now[name] != text:
            problem = f"{name} was {text} in the search and is {now[name]} now"
            raise _refusal(f"{problem}, so it may have been trained on today's validation images")
    images = load_data(experiment).validation
    before = _predict(model, parts, images)
    logits = np.log(np.maximum(before, np.finfo(np.float32).tiny))
    temperature = best_temperature(logits, images.labels)
    if temperature is None:
        between = f"no temperature from {LOWEST:g} to {HIGHEST:g}"
        raise _refusal(f"{between} is best on the validation images")
    if temperature == 1:
        raise _refusal("the best temperature is 1, so nothing would change")
    for layer in layers:
        layer.set_weights([weight / temperature for weight in layer.get_weights()])
    after = _predict(model, parts, images).mean(axis=0)
    if not np.allclose(after, np.exp(_tempered(logits, temperature)), atol=MAX_DIFFERENCE):
        raise _refusal("the weights of its last layer are used elsewhere too")
    replace_file(target, model.save)
    answers = before.mean(axis=0)
    return Calibration(
        images=len(images),
        temperature=temperature,
        error_before=calibration_error(calibration(answers, images.labels)),
        error_after=calibration_error(calibration(after, images.labels)),
        changed=int(np.sum(answers.argmax(axis=1) != after.argmax(axis=1))),
    )


def _refusal(reason: str) -> UserError:
    return UserError(f"the model cannot be calibrated: {reason}; leave out --calibrate")


def best_temperature(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float | None:
    """Return the temperature with the least mean cross-entropy, rounded.

    Args:
        logits: Of each member of an average, of shape (members, n, classes); a single model is one.
        labels: The actual classes, of shape (n,).

    Returns:
        The temperature. None if there is none within bounds, such as for images without a mistake,
        of which a model cannot be too sure.
    """
    images = np.arange(len(labels))
    if (_tempered(logits, 1.0).argmax(axis=1) == labels).all():
        return None  # the minimum would be where the loss of a confident model is rounded to zero

    def loss(log_temperature: float) -> float:
        return float(-_tempered(logits, exp(log_temperature))[images, labels].mean())

    bounds = (log(LOWEST), log(HIGHEST))
    found = exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
    # So that another machine, where sums differ in their last bits, finds the same.
    return round(found, 3) if 1.01 * LOWEST < found < 0.99 * HIGHEST else None


def _tempered(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the logarithms of the averaged probabilities, of shape (n, classes)."""
    members = log_softmax(logits / temperature, axis=2)
    return np.asarray(logsumexp(members, axis=0) - log(len(logits)))


def _parts(model: keras.Model) -> list[Any]:
    """Return the tensors of which the output is the average; the output itself if it is none."""
    output = model.outputs[0]
    last = output._keras_history.operation
    return list(last.input) if isinstance(last, keras.layers.Average) else [output]


def _logits_layer(output: Any) -> Any:
    """Return the dense layer of which the output is the softmax; None if there is none."""
    last = output._keras_history.operation
    if isinstance(last, keras.Model):
        return _logits_layer(last.outputs[0])
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and _is_softmax(last)
    ):
        last = last.input._keras_history.operation
        linear = getattr(last, "activation", None) is keras.activations.linear
        return last if isinstance(last, keras.layers.Dense) and linear else None
    return last if isinstance(last, keras.layers.Dense) and _is_softmax(last) else None


def _is_softmax(layer: keras.Layer) -> bool:
    return layer.activation is keras.activations.softmax


def _predict(model: keras.Model, parts: list[Any], images: Images) -> NDArray[np.float64]:
    """Return the probabilities that each part predicts, of shape (parts, n, classes)."""
    each = keras.Model(model.inputs[0], parts)
    each.jit_compile = False
    found = each.predict(evaluation_batches(images), verbose=0)
    outputs = found if isinstance(found, list) else [found]
    return np.stack([saved_model.check_probabilities(output) for output in outputs])
