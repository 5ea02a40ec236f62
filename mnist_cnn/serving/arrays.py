"""JSON from strangers: pixel arrays to MNIST images.

Parsed by pydantic's parser, which is the fastest at hand and refuses what is nested too deeply.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from mnist_cnn.serving.drawing import SIDE
from mnist_cnn.serving.refusal import Refusal

MAX_IMAGES = 1024
FULL_INK = (1, 255)


def read_images(content: bytes) -> NDArray[np.float32]:
    """The images of a request: float32 of shape (n, 28, 28, 1) in [0, 1], n from 1 to 1,024.

    content: a JSON object with one of `image` (28 rows of 28 numbers) and `images` (a list of
        these), and with `maximum`, the number that stands for full ink: 255 (default) or 1.

    Raises Refusal: 400 if it is no JSON, 413 for too many images, 422 if it says something else.
    """
    try:
        request = from_json(content, allow_inf_nan=True)  # told apart below, with a better word
    except ValueError as error:
        reason = str(error).replace("\n", " ")[:120]
        raise Refusal(400, f"the body is no JSON: {reason}") from None
    if not isinstance(request, dict) or ("image" in request) == ("images" in request):
        raise Refusal(422, 'send a JSON object with either "image" or "images"')
    if unknown := request.keys() - {"image", "images", "maximum"}:
        raise Refusal(422, f"unknown: {ascii(min(unknown))[:40]}; known: image, images, maximum")
    maximum = request.get("maximum", 255)
    if isinstance(maximum, bool) or maximum not in FULL_INK:
        raise Refusal(422, '"maximum" is the number that stands for full ink, 255 or 1')
    images = [request["image"]] if "image" in request else request["images"]
    return _pixels(images, maximum)


def _pixels(images: Any, maximum: int) -> NDArray[np.float32]:
    if not isinstance(images, list) or not images:
        raise Refusal(422, '"images" is a list of at least one image')
    if len(images) > MAX_IMAGES:
        raise Refusal(413, f"there are more than {MAX_IMAGES:,} images; send fewer at a time")
    try:
        pixels = np.array(images)
    except (ValueError, OverflowError):  # rows of different lengths
        pixels = np.empty(0)
    if pixels.shape != (len(images), SIDE, SIDE) or pixels.dtype.kind not in "iuf":
        raise Refusal(422, f"an image is {SIDE} rows of {SIDE} numbers")
    if not (pixels.min() >= 0 and pixels.max() <= maximum):  # false for NaN too
        raise Refusal(422, f"pixels are numbers from 0 (paper) to {maximum} (ink)")
    return (pixels[..., np.newaxis] / maximum).astype(np.float32)
