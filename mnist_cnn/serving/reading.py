"""From a picture or arrays to the answer, step by step."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.serving import images
from mnist_cnn.serving.drawing import mnist_image
from mnist_cnn.serving.images import Picture
from mnist_cnn.serving.ink import find_ink
from mnist_cnn.serving.segmentation import Digit, find_digits

# A lower confidence is doubtful. It is rare among MNIST's test digits that are read correctly.
CERTAIN = 0.7


class ParsedPicture:
    """The digits that were found in a picture.

    Attributes:
        images: The model's input, from left to right: float32 of shape (n, 28, 28, 1) in [0, 1].
            n is 0 for a blank picture.
    """

    def __init__(self, content: bytes) -> None:
        """Decode a picture and find its digits.

        Args:
            content: A PNG or JPEG file.

        Raises:
            Refusal: The picture cannot be read.
        """
        self._picture = images.decode(content)
        self._digits = find_digits(find_ink(self._picture.rgb))
        drawn = [mnist_image(digit.ink) for digit in self._digits]
        self.images = np.array(drawn, np.float32).reshape(-1, 28, 28, 1)

    def answer(self, probabilities: NDArray[np.float32], version: str) -> dict[str, Any]:
        """Build the answer to a picture.

        Args:
            probabilities: Of shape (n, 10), for `images`.
            version: Of the model.

        Returns:
            A `schemas.Answer` as a dictionary.
        """
        result = answer(probabilities, version)
        levels = np.rint(255 * self.images[..., 0]).astype(int).tolist()
        predictions = result["predictions"]
        for prediction, digit, pixels in zip(predictions, self._digits, levels, strict=True):
            prediction["doubtful"] |= digit.doubtful
            prediction["box"] = _box(digit, self._picture)
            prediction["pixels"] = pixels
        result["number"] = "".join(str(prediction["digit"]) for prediction in predictions)
        return result


def answer(probabilities: NDArray[np.float32], version: str) -> dict[str, Any]:
    """Build the answer to arrays.

    Args:
        probabilities: Of shape (n, 10).
        version: Of the model.

    Returns:
        A `schemas.Answer` as a dictionary. An instance would be validated number by number, which
        would take longer than the rest of a request.
    """
    rounded = probabilities.astype(np.float64).round(5)
    predictions = [_prediction(row) for row in rounded]
    return {"version": version, "number": None, "predictions": predictions}


def _prediction(probabilities: NDArray[np.float64]) -> dict[str, Any]:
    digit = int(probabilities.argmax())
    confidence = float(probabilities[digit])
    return {
        "digit": digit,
        "confidence": confidence,
        "probabilities": probabilities.tolist(),
        "doubtful": confidence < CERTAIN,
        "box": None,
        "pixels": None,
    }


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
