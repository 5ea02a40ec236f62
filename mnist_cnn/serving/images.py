"""Untrusted PNG and JPEG files to upright RGB pixels, within limits.

The size in the header is checked before anything is decoded: a PNG of a few kilobytes can hold
gigapixels.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_cnn.serving.refusal import Refusal

MAX_PIXELS = 16_000_000
# Larger pictures are shrunk to this; more pixels do not help to read a line of digits.
WORKING_SIDE = 1024
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_ORIENTATION = 0x0112  # EXIF tag; values from 5 mean that width and height are swapped


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
    return content.startswith(_SIGNATURES)


def decode(content: bytes) -> Picture:
    """Decode a PNG or JPEG file, fill its transparent parts, and rotate it as EXIF says.

    Args:
        content: The file.

    Returns:
        The picture.

    Raises:
        Refusal: 413 for more than 16,000,000 pixels, 415 for an animation, 400 for a damaged file.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            return _decode(image)
    except Refusal:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except Exception:  # Pillow's decoders raise many types for damaged files
        raise Refusal(400, "the picture is damaged or incomplete; send the whole file") from None


def _decode(image: Image.Image) -> Picture:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()
    # A phone's JPEG may hold a second picture, such as a depth map; that is no animation.
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise Refusal(415, "the picture is an animation; send a still picture")
    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # JPEG: decode at 1/2, 1/4 or 1/8
    image.load()
    if image.getexif().get(_ORIENTATION, 1) >= 5:
        width, height = height, width
    small = _opaque(image)
    return Picture(np.asarray(ImageOps.exif_transpose(small)), width, height)


def _too_many_pixels() -> Refusal:
    return Refusal(413, f"the picture has more than {MAX_PIXELS:,} pixels; send a smaller one")


def _opaque(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB on paper, shrunk. The EXIF data stays with the picture."""
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
    result = Image.alpha_composite(canvas, image).convert("RGB")
    result.info = image.info
    return result
