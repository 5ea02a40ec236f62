"""From a picture or arrays to the response, step by step.

A model that classifies digits like MNIST's gets each digit of a picture, prepared as MNIST's were.
Any other model gets the whole picture, fitted into its input as the pictures of a search are.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.datasets.pictures.decoder import Picture, fit, side_for
from mnist_cnn.serving.drawing import mnist_image
from mnist_cnn.serving.images import WORKING_SIDE
from mnist_cnn.serving.ink import find_ink
from mnist_cnn.serving.refusal import Refusal
from mnist_cnn.serving.schemas import ModelInfo
from mnist_cnn.serving.segmentation import Digit, find_digits

# A lower confidence is doubtful. It is rare among MNIST's test digits that are classified
# correctly.
CERTAIN = 0.7


class Parsed(Protocol):
    """The input of a model from a picture.

    Attributes:
        images: The model's input, from left to right: float32 of shape (n, height, width, channels)
            in [0, 1]. n is 0 for a blank picture.
    """

    images: NDArray[np.float32]

    def answer(self, probabilities: NDArray[np.float32], info: ModelInfo) -> dict[str, Any]:
        """Build the answer, a `schemas.Answer` as a dictionary.

        Args:
            probabilities: Of shape (n, classes), for `images`.
            info: Of the model.
        """


def working_side(info: ModelInfo) -> int:
    """The pixels a side to which a picture is shrunk as it is decoded for a model."""
    return WORKING_SIDE if info.like_mnist else side_for(*info.input_shape[:2])


def parse(picture: Picture, info: ModelInfo) -> Parsed:
    """Find the input of a model in a picture.

    Args:
        picture: The picture, decoded at `working_side`.
        info: Of the model.

    Raises:
        Refusal: It shows more than one line of digits, or the model does not take pictures.
    """
    channels = info.input_shape[2]
    if channels not in (1, 3):
        raise Refusal(
            422,
            f"the model takes images of {channels} channels, and a picture has one (grey) or three "
            "(colours)",
        )
    if info.like_mnist:
        return DigitsPicture(picture, channels)
    return WholePicture(picture, info.input_shape)


class DigitsPicture:
    """The digits that were found in a picture. See `Parsed`."""

    def __init__(self, picture: Picture, channels: int) -> None:
        self._picture = picture
        self._digits = find_digits(find_ink(picture.rgb))
        drawn = [mnist_image(digit.ink) for digit in self._digits]
        grey = np.array(drawn, np.float32).reshape(-1, 28, 28, 1)
        self.images = grey.repeat(channels, axis=3)  # as `Dataset.rgb` does

    def answer(self, probabilities: NDArray[np.float32], info: ModelInfo) -> dict[str, Any]:
        """Build the answer, with the box of each digit. See `Parsed`."""
        result = answer(probabilities, info)
        predictions = result["predictions"]
        pixels = _levels(self.images)
        for prediction, digit, levels in zip(predictions, self._digits, pixels, strict=True):
            prediction["doubtful"] |= digit.doubtful
            prediction["box"] = _box(digit, self._picture)
            prediction["pixels"] = levels
        result["number"] = "".join(str(prediction["digit"]) for prediction in predictions)
        return result


class WholePicture:
    """A picture as the input of a model that classifies whole pictures. See `Parsed`."""

    def __init__(self, picture: Picture, shape: Sequence[int]) -> None:
        pixels = fit(picture, *shape)
        self.images = (pixels.astype(np.float32) / np.float32(255))[np.newaxis]

    def answer(self, probabilities: NDArray[np.float32], info: ModelInfo) -> dict[str, Any]:
        """Build the answer, with the pixels that the model saw. See `Parsed`."""
        result = answer(probabilities, info)
        (result["predictions"][0]["pixels"],) = _levels(self.images)
        return result


def answer(probabilities: NDArray[np.float32], info: ModelInfo) -> dict[str, Any]:
    """Build the answer to arrays.

    Args:
        probabilities: Of shape (n, classes).
        info: Of the model.

    Returns:
        A `schemas.Answer` as a dictionary. An instance would be validated number by number, which
        would take longer than the rest of a request.
    """
    rounded = probabilities.astype(np.float64).round(5)
    predictions = [_prediction(row, info.class_names) for row in rounded]
    return {
        "name": info.name,
        "version": info.version,
        "number": None,
        "predictions": predictions,
    }


def _prediction(probabilities: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, Any]:
    digit = int(probabilities.argmax())
    confidence = float(probabilities[digit])
    return {
        "digit": digit,
        "label": class_names[digit],
        "confidence": confidence,
        "probabilities": probabilities.tolist(),
        "doubtful": confidence < CERTAIN,
        "box": None,
        "pixels": None,
    }


def _levels(images: NDArray[np.float32]) -> Any:
    """Images as nested lists of levels from 0 to 255; of colours there are three a pixel."""
    levels = np.rint(255 * images).astype(int)
    return (levels[..., 0] if levels.shape[-1] == 1 else levels).tolist()


def _box(digit: Digit, picture: Picture) -> dict[str, int]:
    """The digit's box in pixels of the uploaded picture."""
    height, width, _ = picture.rgb.shape
    across, down = picture.width / width, picture.height / height
    return {
        "left": round(digit.left * across),
        "top": round(digit.top * down),
        "width": round(digit.width * across),
        "height": round(digit.height * down),
    }
