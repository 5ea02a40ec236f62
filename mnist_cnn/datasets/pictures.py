"""The one reader of pictures: a file's bytes to upright 8-bit pixels, within bounds.

What a picture claims to be is looked at in its header, before anything is decoded: a PNG of a few
kilobytes can hold gigapixels. Imports Pillow, so whoever needs it imports it where it is used.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mnist_cnn.errors import UsageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
MAX_PIXELS = 64_000_000

_ORIENTATION = 0x0112  # in EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)

# Pillow warns of large pictures, which are refused here, and of damaged EXIF, which is passed over.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadablePicture(UsageError):
    """A picture that cannot be taken.

    problem: "large" for too many pixels, "several" for an animation or pages, else "damaged".
    """

    def __init__(self, problem: Literal["large", "several", "damaged"], message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    rgb: uint8 of shape (height, width, 3), upright.
    width, height: in pixels as it was stored, upright.
    """

    rgb: NDArray[np.uint8]
    width: int
    height: int

    @property
    def grey(self) -> bool:
        """Whether no pixel has a colour."""
        red, green, blue = (self.rgb[..., channel] for channel in range(3))
        return bool((red == green).all() and (green == blue).all())


@dataclass(frozen=True)
class Header:
    """What a picture says of itself.

    height, width: in pixels, upright.
    grey: whether it has no colours to say; a picture in colours may still use none.
    """

    height: int
    width: int
    grey: bool


def read_header(content: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Look at a picture's header; its pixels are not decoded.

    Raises:
        UnreadablePicture: if it is no picture, several, or one of more than `max_pixels`.
    """
    with _opened(content, FORMATS, max_pixels) as image:
        height, width = image.height, image.width
        # A PNG may say it behind the pixels, which Pillow would decode to come there.
        known = image.format != "PNG" or "exif" in image.info
        if known and _orientation(image) in _ON_ITS_SIDE:
            height, width = width, height
        return Header(height, width, image.mode in ("1", "L", "LA", "La", "F") or _is_deep(image))


def decode(
    content: bytes,
    *,
    side: int | None = None,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Decode a picture; transparent parts become paper, a photo is turned upright.

    Args:
        content: the whole file.
        side: the longest side wanted in pixels; a larger picture is shrunk to it, which is fast.
        formats: which of Pillow's formats are taken.
        max_pixels: how many pixels are taken.

    Raises:
        UnreadablePicture: if it is no picture, is damaged, several, or of too many pixels.
    """
    with _opened(content, formats, max_pixels) as image:
        width, height = image.size
        try:
            if side:  # a JPEG is decoded at half, a quarter or an eighth of its size
                image.draft("RGB", (side, side))
            image.load()  # before EXIF is asked for, which hides that the pixels are damaged
            orientation = _orientation(image)
            rgb = _opaque(image, side)
        except UnreadablePicture:
            raise
        except Exception:  # the decoders raise whatever the damage leads them to
            raise UnreadablePicture("damaged", "it is damaged or cut short") from None
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    return Picture(np.asarray(rgb), width, height)


def fit(picture: Picture, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """The picture at a size, proportions kept, on a ground of the colour of its edge.

    Returns:
        uint8 of shape (height, width, channels), grey for one channel, colour for three.
    """
    rgb = picture.rgb
    if rgb.shape[:2] != (height, width):
        image = Image.fromarray(rgb)
        scale = min(width / image.width, height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        ground = Image.new("RGB", (width, height), _edge_colour(rgb))
        place = ((width - size[0]) // 2, (height - size[1]) // 2)
        ground.paste(image.resize(size, Image.Resampling.BILINEAR), place)
        rgb = np.asarray(ground)
    if channels == 3:
        return rgb
    if picture.grey:
        return rgb[..., :1]
    return np.asarray(Image.fromarray(rgb).convert("L"))[..., np.newaxis]


def _edge_colour(rgb: NDArray[np.uint8]) -> tuple[int, int, int]:
    edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue


def _opened(content: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """The picture, of which only the header has been read."""
    too_many = UnreadablePicture("large", f"it has more than {max_pixels:,} pixels")
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
        # A phone's JPEG may have a second picture behind the first, for depth; that is MPO.
        several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    except Image.DecompressionBombError:
        raise too_many from None
    except UnidentifiedImageError:
        known = ", ".join(formats)
        raise UnreadablePicture("damaged", f"it is no picture; valid: {known}") from None
    except Exception:
        raise UnreadablePicture("damaged", "it is damaged or cut short") from None
    if image.width * image.height > max_pixels:
        raise too_many
    if several:
        raise UnreadablePicture("several", "it is an animation, or has several pages")
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF does not make the picture unreadable
        return 1


def _opaque(image: Image.Image, side: int | None) -> Image.Image:
    """The picture in 8-bit RGB on paper, whatever its mode, shrunk to `side`."""
    if _is_deep(image) or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return _on_paper(_small(image.convert("RGBA"), side))
    return _small(image.convert("RGB"), side)


def _is_deep(image: Image.Image) -> bool:
    """Whether it has 16 bits a pixel or more, which `convert` would clip at 255."""
    return image.mode.startswith("I")


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey pixels of 0 to 65535, or floats of 0 to 1, as bytes."""
    if pixels.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 65535):  # false for NaN
            raise UnreadablePicture("damaged", "its pixels are negative, no numbers, or too large")
        scale = 255.0 if pixels.max() <= 1 else 1.0 if pixels.max() <= 255 else 1 / 257
        return np.asarray(np.rint(pixels * scale), dtype=np.uint8)
    return np.asarray(np.clip(pixels // 257, 0, 255), dtype=np.uint8)


def _small(image: Image.Image, side: int | None) -> Image.Image:
    """At most `side` pixels a side; transparent pixels lend no colour to their neighbours."""
    if side:
        image.thumbnail((side, side), Image.Resampling.BOX)
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
    return Image.alpha_composite(canvas, image).convert("RGB")
