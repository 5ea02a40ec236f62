"""Untrusted PNG and JPEG files to upright RGB pixels, within limits.

The size in the header is checked before anything is decoded: a PNG of a few kilobytes can hold
gigapixels.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cnn.serving import containers
from mnist_cnn.serving.refusal import Refusal

MAX_PIXELS = 16_000_000
# Larger pictures are shrunk to this; more pixels do not help to read a line of digits.
WORKING_SIDE = 1024
# What makes a picture upright, by its EXIF orientation.
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A decoded picture, rotated as its EXIF data says.

    Attributes:
        rgb: uint8 of shape (height, width, 3), at most 1,024 pixels a side.
        width: Of the uploaded picture, in pixels.
        height: Of the uploaded picture, in pixels.
    """

    rgb: NDArray[np.uint8]
    width: int
    height: int


def is_picture(content: bytes) -> bool:
    """Whether `content` starts like a PNG or JPEG file; the client's Content-Type is ignored."""
    return content.startswith((containers.PNG_SIGNATURE, containers.JPEG_SIGNATURE))


def decode(content: bytes) -> Picture:
    """Decode a PNG or JPEG file, fill its transparent parts, and rotate it as EXIF says.

    Args:
        content: The file.

    Returns:
        The picture.

    Raises:
        Refusal: 413 for more than 16,000,000 pixels, 415 for an animation, 422 for more parts than
            a picture needs, 400 for a damaged file.
    """
    stripped = containers.strip(content)
    try:
        with Image.open(io.BytesIO(stripped.content), formats=("PNG", "JPEG")) as image:
            return _decode(image, stripped.orientation)
    except Refusal:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except Exception:  # Pillow's decoders raise many types for damaged files
        raise Refusal(400, "the picture is damaged or incomplete; send the whole file") from None


def _decode(image: Image.Image, orientation: int) -> Picture:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()
    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # JPEG: decode at 1/2, 1/4 or 1/8
    image.load()
    small = _opaque(image)
    if orientation in _TRANSPOSE:
        small = small.transpose(_TRANSPOSE[orientation])
    if orientation >= 5:
        width, height = height, width
    return Picture(np.asarray(small), width, height)


def _too_many_pixels() -> Refusal:
    return Refusal(413, f"the picture has more than {MAX_PIXELS:,} pixels; send a smaller one")


def _opaque(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB on paper, shrunk."""
    if image.mode.startswith("I"):  # 16 bits a pixel; `convert` would clip at 255
        grey = Image.fromarray(np.clip(np.asarray(image) // 257, 0, 255).astype(np.uint8))
        grey.info = image.info
        image = grey
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return _on_paper(_small(image.convert("RGBA")))
    return _small(image.convert("RGB"))


def _small(image: Image.Image) -> Image.Image:
    """Shrink to at most 1,024 pixels a side. The colour of transparent pixels does not bleed."""
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    return image


def _on_paper(image: Image.Image) -> Image.Image:
    """Fill the transparent parts with the colour of the paper, guessed from the opaque parts."""
    rgba = np.asarray(image)
    solid = rgba[rgba[..., 3] > 127]
    if 2 * len(solid) > rgba.shape[0] * rgba.shape[1]:
        paper = np.median(solid[:, :3], axis=0)  # a page with a hole or round corners
    elif len(solid) and solid[:, :3].mean() >= 128:  # light ink alone: dark paper
        paper = np.zeros(3)
    else:
        paper = np.full(3, 255.0)
    canvas = Image.new("RGBA", image.size, (*(int(level) for level in paper), 255))
    return Image.alpha_composite(canvas, image).convert("RGB")
