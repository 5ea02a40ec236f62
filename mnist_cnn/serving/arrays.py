"""Untrusted JSON to MNIST images.

pydantic's parser does the work: it is fast, and it refuses deep nesting.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from mnist_cnn.serving.drawing import SIDE
from mnist_cnn.serving.refusal import Refusal

MAX_IMAGES = 1024
FULL_INK = (1, 255)
# No valid request has more. One that does is not parsed: its objects would take 20 times the memory
# of its text.
_MAX_COMMAS = MAX_IMAGES * SIDE * SIDE


def read_images(content: bytes) -> NDArray[np.float32]:
    """Parse the images of a request.

    Args:
        content: A JSON object with either `image` (28 rows of 28 numbers) or `images` (a list of
            1 to 1,024 such images). `maximum` is the value of full ink, 255 (the default) or 1. It
            is required if no pixel is above 1, unless all are 0.

    Returns:
        float32 of shape (n, 28, 28, 1) in [0, 1].

    Raises:
        Refusal: 400 if the content is not JSON, 413 for too many images, 422 for anything else
            that is wrong.
    """
    if content.count(b",") > _MAX_COMMAS:
        raise Refusal(413, f"more numbers than {MAX_IMAGES:,} images have; send fewer at a time")
    try:
        # NaN and infinity are refused below, with a clearer message than the parser's.
        request = from_json(content.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=True)
    except ValueError as error:
        reason = str(error).replace("\n", " ")[:120]
        raise Refusal(400, f"the body is not valid JSON: {reason}") from None
    if not isinstance(request, dict) or ("image" in request) == ("images" in request):
        raise Refusal(422, 'send a JSON object with either "image" or "images"')
    unknown = request.keys() - {"image", "images", "maximum"}
    if unknown:
        name = ascii(min(unknown))[:40]
        raise Refusal(422, f"unknown field {name}; valid: image, images, maximum")
    maximum = request.get("maximum", 255)
    if isinstance(maximum, bool) or maximum not in FULL_INK:
        raise Refusal(422, '"maximum" is the value of full ink: 255 or 1')
    pixels = _pixels([request["image"]] if "image" in request else request["images"], maximum)
    if "maximum" not in request and 0 < pixels.max() <= 1:  # most likely shares of full ink
        raise Refusal(422, 'no pixel is above 1; send "maximum": 1 if that is full ink, else 255')
    return np.asarray(pixels[..., np.newaxis] / maximum, dtype=np.float32)


def _pixels(images: Any, maximum: int) -> NDArray[np.float64]:
    """The pixels in [0, maximum], of shape (n, 28, 28)."""
    if not isinstance(images, list) or not images:
        raise Refusal(422, '"images" must be a list of at least one image')
    if len(images) > MAX_IMAGES:
        raise Refusal(413, f"more than {MAX_IMAGES:,} images; send fewer at a time")
    if not all(_is_image(image) for image in images):
        raise Refusal(422, f"an image is {SIDE} rows of {SIDE} numbers")
    try:
        pixels = np.array(images, dtype=np.float64)
    except OverflowError:  # an integer larger than any float
        pixels = np.full(1, np.inf)
    in_range = pixels.min() >= 0 and pixels.max() <= maximum  # False for NaN too
    if not in_range:
        raise Refusal(422, f"pixels must be numbers from 0 (paper) to {maximum} (ink)")
    return pixels


def _is_image(image: Any) -> bool:
    """Whether `image` is rows of numbers. Of one long string, NumPy would make an array of such."""
    return isinstance(image, list) and len(image) == SIDE and all(_is_row(row) for row in image)


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == SIDE and {int, float}.issuperset(map(type, row))
