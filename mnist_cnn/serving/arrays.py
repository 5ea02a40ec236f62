"""Untrusted JSON to images.

pydantic's parser does the work: it is fast, and it refuses deep nesting.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from mnist_cnn.serving.refusal import Refusal

MAX_IMAGES = 1024
FULL_INK = (1, 255)


def read_images(content: bytes, shape: Sequence[int]) -> NDArray[np.float32]:
    """Parse the images of a request.

    Args:
        content: A JSON object with either `image` (rows of numbers, or of triples for colours) or
            `images` (a list of 1 to 1,024 such images). `maximum` is the value of full ink, 255
            (the default) or 1. It is required if no pixel is above 1, unless all are 0.
        shape: (height, width, channels) of an image.

    Returns:
        float32 of shape (n, height, width, channels) in [0, 1].

    Raises:
        Refusal: 400 if the content is not JSON, 413 for too many images, 422 for anything else
            that is wrong.
    """
    # No valid request has more. One that does is not parsed: its objects would take 20 times the
    # memory of its text.
    if content.count(b",") > MAX_IMAGES * prod(shape):
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
    images = [request["image"]] if "image" in request else request["images"]
    pixels = _pixels(images, maximum, shape)
    if "maximum" not in request and 0 < pixels.max() <= 1:  # most likely shares of full ink
        raise Refusal(422, 'no pixel is above 1; send "maximum": 1 if that is full ink, else 255')
    return np.asarray(pixels.reshape(-1, *shape) / maximum, dtype=np.float32)


def _pixels(images: Any, maximum: int, shape: Sequence[int]) -> NDArray[np.float64]:
    """The pixels in [0, maximum], of shape (n, height, width), or with three colours each."""
    if not isinstance(images, list) or not images:
        raise Refusal(422, '"images" must be a list of at least one image')
    if len(images) > MAX_IMAGES:
        raise Refusal(413, f"more than {MAX_IMAGES:,} images; send fewer at a time")
    height, width, channels = shape
    sides = (height, width) if channels == 1 else (height, width, channels)
    if not all(_is_image(image, sides) for image in images):
        of = "numbers" if channels == 1 else f"{channels} numbers each"
        raise Refusal(422, f"an image is {height} rows of {width} {of}")
    try:
        pixels = np.array(images, dtype=np.float64)
    except OverflowError:  # an integer larger than any float
        pixels = np.full(1, np.inf)
    in_range = pixels.min() >= 0 and pixels.max() <= maximum  # False for NaN too
    if not in_range:
        raise Refusal(422, f"pixels must be numbers from 0 (paper) to {maximum} (ink)")
    return pixels


def _is_image(image: Any, sides: tuple[int, ...]) -> bool:
    """Whether `image` is nested lists of numbers with these lengths.

    NumPy would also accept one long string.
    """
    if not isinstance(image, list) or len(image) != sides[0]:
        return False
    if len(sides) == 1:
        return {int, float}.issuperset(map(type, image))
    return all(_is_image(row, sides[1:]) for row in image)
