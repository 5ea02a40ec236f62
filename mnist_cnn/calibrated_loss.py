"""A metric to choose classifiers by: the cross-entropy that is left after calibration.

The accuracy of a good classifier is a coarse measure: of 5,000 images, 25 decide it, and another
seed gets others wrong. Every image counts for the cross-entropy. But that depends on how confident
a model is, which label smoothing or longer training changes, and which can be corrected afterwards.
So the probabilities are calibrated first, by temperature scaling (C. Guo et al., "On Calibration of
Modern Neural Networks", 2017), with the temperature that is best for the images of the metric.
docs/benchmarks.md has how much better it ranks configurations.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

# Between two of these the loss is at most about half a per cent lower.
TEMPERATURES = np.geomspace(0.2, 5.0, 32).astype("float32")
# Of a probability. Keras's own cross-entropy takes 1e-7, which makes a confident model worse at any
# temperature, since its unlikely classes get a share that they do not have.
SMALLEST = 1e-30
NOT_ONE = 0.02  # a sum of probabilities is not that far from 1, even in bfloat16


@keras.saving.register_keras_serializable("mnist_cnn")
class CalibratedLoss(keras.metrics.Metric):  # type: ignore[misc]
    """The mean cross-entropy at the temperature, of `TEMPERATURES`, at which it is least.

    It is NaN if outputs are not probabilities although they should be. It says nothing if there is
    no mistake among the images: the more confident a model is, the nearer it is to zero then.

    Args:
        name: The name of the metric.
        from_logits: Whether a model's outputs are logits. Otherwise they are probabilities.
        **given: Further arguments of a Keras metric.
    """

    def __init__(
        self, name: str = "calibrated_loss", *, from_logits: bool = False, **given: Any
    ) -> None:
        super().__init__(name=name, **given)
        self._from_logits = from_logits
        self._losses = self.add_variable(TEMPERATURES.shape, "zeros", name="losses")
        self._weight = self.add_variable((), "zeros", name="weight")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add the loss of a batch at each temperature.

        Args:
            y_true: The classes, of shape (n,) or (n, 1), or one-hot, of shape (n, classes).
            y_pred: The outputs of the model, of shape (n, classes).
            sample_weight: The weight of each image, of shape (n,) or (n, 1). None means 1.

        Raises:
            ValueError: There is no output for each class, or labels have another number of classes.
        """
        shape = tuple(y_pred.shape)
        if len(shape) != 2 or shape[1] is None or shape[1] < 2:
            raise ValueError(
                "CalibratedLoss needs outputs of shape (n, classes), with two classes or more, not "
                f"{shape}"
            )
        classes = shape[1]
        if len(y_true.shape) < 2 or y_true.shape[-1] == 1:
            y_true = ops.one_hot(ops.cast(ops.reshape(y_true, [-1]), "int32"), classes)
        if y_true.shape[-1] != classes:
            raise ValueError(
                f"CalibratedLoss needs labels of shape (n,) or (n, {classes}), not "
                f"{tuple(y_true.shape)}"
            )
        logits = self._log_probabilities(ops.cast(y_pred, "float32"))
        correct = ops.sum(logits * ops.cast(y_true, "float32"), axis=-1)
        # Classes come first, since a sum over the last axis is slow if that is short. The largest
        # logit is -log(classes) or more, so that the sum of the exponentials is not zero.
        powers = ops.exp(ops.transpose(logits)[:, :, None] / TEMPERATURES)
        losses = ops.log(ops.sum(powers, axis=0)) - correct[:, None] / TEMPERATURES
        weights = ops.ones_like(correct)
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, [-1]), "float32")
        self._losses.assign_add(ops.sum(losses * weights[:, None], axis=0))
        self._weight.assign_add(ops.sum(weights))

    def _log_probabilities(self, y_pred: Any) -> Any:
        if self._from_logits:
            return ops.log_softmax(y_pred)
        off = ops.abs(ops.sum(y_pred, axis=-1, keepdims=True) - 1.0)
        checked = ops.where(off < NOT_ONE, y_pred, float("nan"))
        return ops.log(ops.maximum(checked, SMALLEST))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal metric."""
        return {**super().get_config(), "from_logits": self._from_logits}

    def result(self) -> Any:
        """Return the least mean loss over the images since the last reset."""
        # Rounding may make it a little less than zero.
        return ops.maximum(ops.min(ops.divide_no_nan(self._losses, self._weight)), 0.0)
