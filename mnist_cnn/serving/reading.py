"""From a picture or an array to the answer: each step in a line."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cnn.serving import images
from mnist_cnn.serving.drawing import mnist_image
from mnist_cnn.serving.images import Picture
from mnist_cnn.serving.ink import find_ink
from mnist_cnn.serving.segmentation import Digit, find_digits

# Less than this, and the page says so. MNIST's test digits that are read rightly seldom are below.
CERTAIN = 0.7


class Seen:
    """A picture's digits, cut out, and the images that the model is to see.

    images: float32 of shape (n, 28, 28, 1) in [0, 1].
    """

    def __init__(self, content: bytes) -> None:
        """Read a PNG or JPEG; raises Refusal."""
        self._picture = images.decode(content)
        self._digits = find_digits(find_ink(self._picture.rgb))
        drawn = [mnist_image(digit.ink) for digit in self._digits]
        self.images = np.array(drawn, np.float32).reshape(-1, 28, 28, 1)

    def answer(self, probabilities: NDArray[np.float32], version: str) -> dict[str, Any]:
        """An `Answer`. probabilities: of shape (n, 10)."""
        given = answer(probabilities, version)
        levels = np.rint(255 * self.images[..., 0]).astype(int).tolist()
        for reading, digit, pixels in zip(given["predictions"], self._digits, levels, strict=True):
            reading["doubtful"] |= digit.doubtful
            reading["box"] = _box(digit, self._picture)
            reading["pixels"] = pixels
        given["number"] = "".join(str(reading["digit"]) for reading in given["predictions"])
        return given


def answer(probabilities: NDArray[np.float32], version: str) -> dict[str, Any]:
    """An `Answer` for arrays. probabilities: of shape (n, 10)."""
    # A dictionary and not the class itself: checking each number again would take most of the time.
    rounded = probabilities.astype(np.float64).round(5)
    return {
        "version": version,
        "number": None,
        "predictions": [
            {
                "digit": (digit := int(row.argmax())),
                "confidence": float(row[digit]),
                "probabilities": row.tolist(),
                "doubtful": bool(row[digit] < CERTAIN),
                "box": None,
                "pixels": None,
            }
            for row in rounded
        ],
    }


def _box(digit: Digit, picture: Picture) -> dict[str, int]:
    height, width, _ = picture.rgb.shape
    across, down = picture.width / width, picture.height / height
    return {
        "left": round(digit.left * across),
        "top": round(digit.top * down),
        "width": round(digit.width * across),
        "height": round(digit.height * down),
    }
