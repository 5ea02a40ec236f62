"""Untrusted PNG and JPEG files to upright RGB pixels, within limits.

`datasets.pictures` decodes them, as it does for a search. It gets no metadata, see `containers`.
"""

from mnist_cnn.datasets.pictures.decoder import Picture, UnreadablePicture
from mnist_cnn.datasets.pictures.decoder import decode as decode_picture
from mnist_cnn.serving import containers
from mnist_cnn.serving.refusal import Refusal

MAX_PIXELS = 16_000_000
# Larger pictures are shrunk to this; more pixels do not help to classify a line of digits.
WORKING_SIDE = 1024


def is_picture(content: bytes) -> bool:
    """Whether `content` starts like a PNG or JPEG file; the client's Content-Type is ignored."""
    return content.startswith((containers.PNG_SIGNATURE, containers.JPEG_SIGNATURE))


def decode(content: bytes, side: int = WORKING_SIDE) -> Picture:
    """Decode a PNG or JPEG file, fill its transparent parts, and rotate it as EXIF says.

    Args:
        content: The file.
        side: Larger pictures are shrunk to this many pixels a side.

    Returns:
        The picture.

    Raises:
        Refusal: 413 for more than 16,000,000 pixels, 415 for an animation, 422 for more parts than
            a picture needs, 400 for a damaged file.
    """
    stripped = containers.strip(content)
    try:
        return decode_picture(
            stripped.content,
            side=side,
            formats=("PNG", "JPEG"),
            max_pixels=MAX_PIXELS,
            orientation=stripped.orientation,
        )
    except UnreadablePicture as error:
        if error.problem == "large":
            message = f"the picture has more than {MAX_PIXELS:,} pixels; send a smaller one"
            raise Refusal(413, message) from None
        raise Refusal(400, "the picture is damaged or incomplete; send the whole file") from None
