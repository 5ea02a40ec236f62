"""Strips PNG and JPEG files to the parts that hold pixels.

A decoder also parses colour profiles, EXIF data and texts. With a few megabytes of these, or with
thousands of almost empty scans, it is busy for minutes. So it gets none of them.
"""

import re
from dataclasses import dataclass
from typing import Literal

from mnist_cnn.serving.refusal import Refusal

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
MAX_PARTS = 50_000  # PNG chunks or JPEG segments
MAX_SCANS = 100  # a progressive JPEG usually has ten
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# A marker that starts a segment, or the end of the image. Others occur in the data of a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)
_EOI, _SOS, _APP0, _APP1, _APP14, _APP15, _COM = 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112  # in EXIF data
_LONG = 4  # the type of a value of four bytes


@dataclass(frozen=True)
class Stripped:
    """A picture's file without metadata.

    Attributes:
        content: The file.
        orientation: The EXIF orientation that the metadata had, 1 to 8.
    """

    content: bytes
    orientation: int


def strip(content: bytes) -> Stripped:
    """Drop all parts of a picture's file that hold no pixels. Damage is not repaired.

    Args:
        content: A file that starts like a PNG or JPEG file.

    Returns:
        The stripped file.

    Raises:
        Refusal: 415 for an animation, 422 for more parts than a picture needs.
    """
    if content.startswith(PNG_SIGNATURE):
        return _strip_png(content)
    return _strip_jpeg(content)


def _strip_png(content: bytes) -> Stripped:
    kept = [PNG_SIGNATURE]
    orientation = 1
    position = len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        length = int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        end = position + 12 + length  # with its checksum
        if kind in _PNG_CHUNKS:
            kept.append(content[position:end])
        elif kind == b"acTL" and int.from_bytes(content[position + 8 : position + 12]) > 1:
            raise Refusal(415, "the picture is an animation; send a still picture")
        elif kind == b"eXIf":
            orientation = _orientation(content[position + 8 : end])
        if kind == b"IEND" or end > len(content):
            return Stripped(b"".join(kept), orientation)
        position = end
    raise Refusal(422, f"the picture has more than {MAX_PARTS:,} chunks; save it again")


def _strip_jpeg(content: bytes) -> Stripped:
    kept = [b"\xff\xd8"]
    orientation = 1
    position = 2
    seen: set[int] = set()
    scans = 0
    for _ in range(MAX_PARTS):
        match = _JPEG_MARKER.search(content, position)
        if scans:  # between the header of a scan and the next marker is its data
            kept.append(content[position : match.start() if match else len(content)])
        if match is None:
            return Stripped(b"".join(kept), orientation)
        marker = content[match.start() + 1]
        if marker == _EOI:
            return Stripped(b"".join([*kept, match[0]]), orientation)
        position = match.end() + int.from_bytes(content[match.end() : match.end() + 2])
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise Refusal(422, f"the picture has more than {MAX_SCANS} scans; save it again")
        if _is_needed(marker, seen):
            kept.append(content[match.start() : position])
        elif marker == _APP1 and content[match.end() + 2 : position].startswith(_EXIF):
            if _APP1 not in seen:
                orientation = _orientation(content[match.end() + 2 + len(_EXIF) : position])
            seen.add(_APP1)
    raise Refusal(422, f"the picture has more than {MAX_PARTS:,} segments; save it again")


def _is_needed(marker: int, seen: set[int]) -> bool:
    """Whether a JPEG segment matters for the pixels. JFIF (APP0) and Adobe (APP14) hold colours."""
    if marker in (_APP0, _APP14):
        first = marker not in seen
        seen.add(marker)
        return first
    return not _APP0 <= marker <= _APP15 and marker != _COM


def _orientation(tiff: bytes) -> int:
    """The orientation in EXIF data; 1, which is upright, if there is none."""
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 1000)):
        start = directory + 2 + 12 * entry
        if number(start, 2) == _ORIENTATION:
            value = number(start + 8, 4 if number(start + 2, 2) == _LONG else 2)
            return value if 1 <= value <= 8 else 1
    return 1
