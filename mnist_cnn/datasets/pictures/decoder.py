"""The one reader of picture files: from bytes to upright 8-bit pixels, within limits.

The header is checked before anything is decoded, because a PNG of a few kilobytes can hold
gigapixels. This module imports Pillow, so other modules import it only where they need it.
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
MAX_BYTES = 256 * 2**20  # of one file

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

# Pillow warns about large pictures, which are refused below, and about damaged EXIF data.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadablePicture(UsageError):
    """A picture that cannot be used.

    Attributes:
        problem: "large" for too many pixels, "several" for an animation or several pages, else
            "damaged".
    """

    def __init__(self, problem: Literal["large", "several", "damaged"], message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: Upright pixels, uint8 of shape (height, width, 3).
        width: The width of the upright picture before it was shrunk, in pixels.
        height: The height of the upright picture before it was shrunk, in pixels.
    """

    rgb: NDArray[np.uint8]
    width: int
    height: int

    @property
    def grey(self) -> bool:
        """Whether every pixel is grey."""
        red, green, blue = (self.rgb[..., channel] for channel in range(3))
        return bool((red == green).all() and (green == blue).all())


@dataclass(frozen=True)
class Header:
    """The header of a picture.

    Attributes:
        height: The height of the upright picture in pixels.
        width: The width of the upright picture in pixels.
        grey: Whether the format stores no colour. If it does, every pixel may still be grey.
    """

    height: int
    width: int
    grey: bool


def read_header(content: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a picture without decoding its pixels.

    Raises:
        UnreadablePicture: If it is not a single picture of at most `max_pixels`.
    """
    with _opened(content, FORMATS, max_pixels) as image:
        height, width = image.height, image.width
        # A PNG may have its EXIF data after the pixels, and Pillow would decode them to get there.
        # The size of a TIFF is that of the upright picture.
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        if known and _orientation(image) in _ON_ITS_SIDE:
            height, width = width, height
        return Header(height, width, image.mode in ("1", "L", "LA", "La", "F") or _is_deep(image))


def decode(
    content: bytes,
    *,
    side: int | None = None,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    orientation: int | None = None,
) -> Picture:
    """Decode a picture, fill transparent parts with the colour of the paper, and turn it upright.

    Args:
        content: The complete file.
        side: Shrink larger pictures to at most this many pixels a side, which also makes decoding
            faster. None keeps the size.
        formats: The accepted formats, by Pillow's names.
        max_pixels: The greatest accepted number of pixels.
        orientation: How the picture has to be turned, by EXIF's numbers. None reads it in the file.

    Raises:
        UnreadablePicture: If it is not a single, undamaged picture of at most `max_pixels`.
    """
    with _opened(content, formats, max_pixels) as image:
        width, height = image.size
        try:
            if side:  # decodes a JPEG at half, a quarter or an eighth of its size
                image.draft("RGB", (side, side))
            image.load()  # first: `getexif` would load too, and hide that the pixels are damaged
            if orientation is None:
                orientation = _orientation(image)
            rgb = _opaque(image, side)
        except UnreadablePicture:
            raise
        except Exception:  # decoders raise all kinds of errors
            raise UnreadablePicture("damaged", "it is damaged or cut short") from None
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    return Picture(np.asarray(rgb), width, height)


def side_for(height: int, width: int) -> int:
    """The `side` at which to decode a picture that is then fitted into this size.

    Large pictures are shrunk in two steps, of which the first is much faster.
    """
    return 4 * max(height, width)


def fit(picture: Picture, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Resize a picture, keep its proportions, and fill the rest with the colour of its edge.

    Returns:
        uint8 of shape (height, width, channels): grey for one channel, RGB for three.
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
    """Open a picture, reading only its header."""
    too_many = UnreadablePicture("large", f"it has more than {max_pixels:,} pixels")
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
        # A phone's JPEG may have a second picture for depth, which makes its format MPO.
        several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    except Image.DecompressionBombError:
        raise too_many from None
    except UnidentifiedImageError:
        known = ", ".join(formats)
        raise UnreadablePicture("damaged", f"it is not a picture; valid: {known}") from None
    except Exception:
        raise UnreadablePicture("damaged", "it is damaged or cut short") from None
    if image.width * image.height > max_pixels:
        raise too_many
    if several:
        raise UnreadablePicture("several", "it is an animation or has several pages")
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the picture can be read without its EXIF data
        return 1


def _opaque(image: Image.Image, side: int | None) -> Image.Image:
    """The picture in opaque 8-bit RGB, whatever its mode, shrunk to `side`."""
    if _is_deep(image) or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return _on_paper(_small(image.convert("RGBA"), side))
    return _small(image.convert("RGB"), side)


def _is_deep(image: Image.Image) -> bool:
    """Whether it has 16 or more bits per pixel, which `convert` would clip at 255."""
    return image.mode.startswith("I")


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale grey pixels to bytes: integers from 0 to 65535, floats from 0 to 1 or 0 to 255.

    Floats just above a range are refused, and so are 16 bits in floats: pictures of one set are
    read one by one, and those that exceed 255 would be scaled differently from the others.
    """
    if pixels.dtype.kind == "f":
        low, top = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and (top <= 1 or 2 <= top <= 255)):  # false for NaN
            raise UnreadablePicture(
                "damaged",
                f"its pixels are floats from {low:g} to {top:g}; valid: 0 to 1, or 0 to 255",
            )
        return np.asarray(np.rint(pixels * (255 if top <= 1 else 1)), dtype=np.uint8)
    return np.asarray(np.clip(pixels // 257, 0, 255), dtype=np.uint8)


def _small(image: Image.Image, side: int | None) -> Image.Image:
    """Shrink to `side`. In RGBA, transparent pixels do not bleed into their neighbours."""
    if side:
        image.thumbnail((side, side), Image.Resampling.BOX)
    return image


def _on_paper(image: Image.Image) -> Image.Image:
    """Fill transparent parts with the colour of the paper, guessed from the opaque parts."""
    rgba = np.asarray(image)
    solid = rgba[rgba[..., 3] > 127]
    if 2 * len(solid) > rgba.shape[0] * rgba.shape[1]:
        paper = np.median(solid[:, :3], axis=0)  # a page with a hole or rounded corners
    else:  # ink without paper: choose a colour that it stands out from
        paper = np.full(3, 255.0 if not len(solid) or solid[:, :3].mean() < 128 else 0.0)
    canvas = Image.new("RGBA", image.size, (*(int(level) for level in paper), 255))
    return Image.alpha_composite(canvas, image).convert("RGB")
