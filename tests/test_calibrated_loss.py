"""The metric `CalibratedLoss`, against SciPy's minimum and in Keras's own `fit`."""

import keras
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from mnist_cnn.calibrated_loss import CalibratedLoss

CLASSES = 7


def outputs(images: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that are right most of the time."""
    random = np.random.default_rng(3)
    labels = random.integers(CLASSES, size=images)
    logits = random.normal(size=(images, CLASSES)) + 2 * np.eye(CLASSES)[labels]
    return labels.astype("int32"), logits.astype("float32")


def best_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    return minimize_scalar(loss, bounds=(0.1, 10), method="bounded").fun


@pytest.mark.parametrize("confidence", [0.5, 1.0, 3.0, 7.0])
def test_it_is_the_least_cross_entropy_however_confident_the_model_is(confidence: float) -> None:
    labels, logits = outputs()
    metric = CalibratedLoss()
    from_logits = CalibratedLoss(from_logits=True)
    for part in np.split(np.arange(len(labels)), [64, 128, 500]):
        metric.update_state(labels[part], softmax(confidence * logits[part], axis=1))
        from_logits.update_state(labels[part], confidence * logits[part] + 5)
    found = float(metric.result())
    assert float(from_logits.result()) == pytest.approx(found, rel=1e-4)
    assert best_loss(labels, logits) <= found * 1.0001
    assert found <= best_loss(labels, logits) * 1.01
    metric.reset_state()
    assert float(metric.result()) == 0


def test_every_kind_of_label_and_weights() -> None:
    labels, logits = outputs()
    probabilities = softmax(logits, axis=1)

    def of(y_true, **given) -> float:
        return float(CalibratedLoss()(y_true, probabilities, **given))

    expected = of(labels)
    assert of(labels[:, None].astype("float32")) == expected
    assert of(np.eye(CLASSES, dtype="float32")[labels]) == pytest.approx(expected, rel=1e-6)
    first = (np.arange(len(labels)) < 100).astype("float32")
    alone = CalibratedLoss()(labels[:100], probabilities[:100])
    assert of(labels, sample_weight=first) == pytest.approx(float(alone), rel=1e-5)
    assert of(labels, sample_weight=first[:, None]) == of(labels, sample_weight=first)
    again = CalibratedLoss.from_config(CalibratedLoss(from_logits=True).get_config())
    assert float(again(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_labels_of_other_classes_and_logits_without_saying_so() -> None:
    labels, logits = outputs()
    with pytest.raises(ValueError, match=r"labels of shape \(n,\) or \(n, 7\), not \(500, 8\)"):
        CalibratedLoss()(np.eye(8)[labels], softmax(logits, axis=1))
    assert np.isnan(float(CalibratedLoss()(labels, logits)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_probabilities_of_half_precision(dtype: str) -> None:
    labels, logits = outputs()
    halved = keras.ops.softmax(keras.ops.cast(logits, dtype))
    expected = CalibratedLoss()(labels, softmax(logits, axis=1))
    assert float(CalibratedLoss()(labels, halved)) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize("shape", [(500,), (500, 1), (500, 2, 2)])
def test_outputs_that_are_not_one_for_each_class_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs outputs of shape \(n, classes\)"):
        CalibratedLoss()(np.zeros(500), np.full(shape, 0.5))


def test_a_model_that_is_always_right_or_broken() -> None:
    labels = np.arange(CLASSES)
    right = np.eye(CLASSES, dtype="float32")
    assert 0 <= float(CalibratedLoss()(labels, right)) < 1e-5
    sure = np.repeat(np.where(right == 1, 0.95, 0.05 / (CLASSES - 1)), 1000, axis=0)
    assert float(CalibratedLoss()(np.repeat(labels, 1000), sure)) >= 0
    assert np.isnan(float(CalibratedLoss()(labels, np.full_like(right, np.nan))))


def test_keras_reports_it_and_loads_a_model_that_has_it(tmp_path) -> None:
    labels, logits = outputs()
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(CLASSES, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[CalibratedLoss()])
    history = model.fit(logits, labels, validation_data=(logits, labels), verbose=0).history
    assert history.keys() == {"loss", "calibrated_loss", "val_loss", "val_calibrated_loss"}
    expected = float(CalibratedLoss()(labels, model.predict(logits, verbose=0)))
    assert history["val_calibrated_loss"][-1] == pytest.approx(expected, rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(logits, labels, verbose=0) == model.evaluate(logits, labels, verbose=0)
