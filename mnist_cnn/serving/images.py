"""Pictures from strangers: PNG and JPEG bytes to upright RGB pixels, within bounds.

What a picture claims to be is looked at in its header, before anything is decoded: a PNG of a few
kilobytes can hold gigapixels.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_cnn.serving.refusal import Refusal

MAX_PIXELS = 16_000_000
# A line of digits is read as well from this many pixels as from more of them.
WORKING_SIDE = 1024
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_ORIENTATION = 0x0112  # in EXIF; from 5 on the picture lies on its side


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    rgb: uint8 of shape (height, width, 3), upright, at most 1,024 pixels a side.
    width, height: in pixels as it was sent, upright.
    """

    rgb: NDArray[np.uint8]
    width: int
    height: int


def is_picture(content: bytes) -> bool:
    """Whether `content` begins as PNG or JPEG do; what the client calls it counts for nothing."""
    return content.startswith(_BEGINNINGS)


def decode(content: bytes) -> Picture:
    """Decode a PNG or JPEG; transparent parts become paper, a photo is turned upright.

    Raises Refusal: 413 for more than 16,000,000 pixels, 415 for an animation, 400 if it is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            return _decode(image)
    except Refusal:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except Exception:  # the decoders raise whatever the damage leads them to
        raise Refusal(400, "the picture is damaged or cut short; send a whole one") from None


def _decode(image: Image.Image) -> Picture:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()
    # A phone's JPEG may have a second picture behind the first, for depth; that is no animation.
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise Refusal(415, "the picture is an animation; send a single picture")
    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # JPEG: decoded at half, a quarter, an eighth
    image.load()
    if image.getexif().get(_ORIENTATION, 1) >= 5:
        width, height = height, width
    small = _opaque(image)
    return Picture(np.asarray(ImageOps.exif_transpose(small)), width, height)


def _too_many_pixels() -> Refusal:
    return Refusal(413, f"the picture has more than {MAX_PIXELS:,} pixels; send a smaller one")


def _opaque(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB on paper, whatever its mode, shrunk; EXIF stays with it."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip at 255
        grey = Image.fromarray(np.clip(np.asarray(image) // 257, 0, 255).astype(np.uint8))
        grey.info = image.info
        image = grey
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return _on_paper(_small(image.convert("RGBA")))
    return _small(image.convert("RGB"))


def _small(image: Image.Image) -> Image.Image:
    """At most 1,024 pixels a side; transparent pixels lend no colour to their neighbours."""
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    return image


def _on_paper(image: Image.Image) -> Image.Image:
    """Fill what is transparent with the paper that the opaque part leaves to be guessed."""
    rgba = np.asarray(image)
    solid = rgba[rgba[..., 3] > 127]
    if 2 * len(solid) > rgba.shape[0] * rgba.shape[1]:
        paper = np.median(solid[:, :3], axis=0)  # a page with a hole or with round corners
    else:  # ink on nothing: paper is what it stands out from
        paper = np.full(3, 255.0 if not len(solid) or solid[:, :3].mean() < 128 else 0.0)
    canvas = Image.new("RGBA", image.size, (*(int(level) for level in paper), 255))
    result = Image.alpha_composite(canvas, image).convert("RGB")
    result.info = image.info
    return result
