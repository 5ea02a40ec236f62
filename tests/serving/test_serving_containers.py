"""Pictures without their metadata are the same pictures: what Pillow alone makes of each file."""

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from mnist_cnn.serving.containers import strip
from mnist_cnn.serving.images import decode

SIZE = (40, 24)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)


def saved(form, mode="RGB", orientation=None, pixels=PIXELS, **options):
    picture = Image.fromarray(pixels).resize(SIZE).convert(mode)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        exif[0x010F] = "a maker of cameras"
    file = io.BytesIO()
    picture.save(file, form, exif=exif, **options)
    return file.getvalue()


def by_pillow(content):
    """The upright pixels that Pillow gives for the whole file."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize(
    ("form", "mode"),
    [*itertools.product(["PNG"], ["1", "L", "P", "RGB"]), ("JPEG", "L"), ("JPEG", "RGB")],
)
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_pixels_and_orientation_are_kept(form, mode, orientation):
    content = saved(form, mode, orientation)
    picture = decode(content)
    assert np.array_equal(picture.rgb, by_pillow(content))
    assert (picture.width, picture.height) == picture.rgb.shape[1::-1]


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"quality": 5, "subsampling": 2, "optimize": True},
        {"icc_profile": bytes(200_000)},
        {"comment": b"\xff\xd9\xff\xda" * 100},
        {"restart_marker_blocks": 1},
        {"keep_rgb": True},
        {"mode": "CMYK"},
    ],
)
def test_every_kind_of_jpeg_is_kept(options):
    content = saved("JPEG", orientation=6, **options)
    assert np.array_equal(decode(content).rgb, by_pillow(content))
    stripped = strip(content).content
    assert len(stripped) < 20_000 and b"a maker of cameras" not in stripped


def test_what_follows_or_precedes_the_picture_is_dropped():
    """As a thumbnail, the video of a phone's live photo, or a second picture."""
    jpeg, other = saved("JPEG", orientation=8), saved("JPEG", pixels=255 - PIXELS)
    thumbnail = b"\xff\xe2" + struct.pack(">H", len(other) + 2) + other
    random = np.random.default_rng(1).bytes(10**6)
    for content in (
        jpeg[:2] + thumbnail + jpeg[2:],
        jpeg + other,
        jpeg + random,
        jpeg[:2] + b"\xff" * 5 + jpeg[2:],  # fill bytes
        saved("PNG", orientation=8) + random,
    ):
        assert np.array_equal(decode(content).rgb, by_pillow(content))


def test_transparency_is_kept():
    palette = Image.fromarray(PIXELS).quantize(4)
    for options in ({"transparency": 0}, {"transparency": bytes([0, 255, 128, 255])}):
        file = io.BytesIO()
        palette.save(file, "PNG", **options)
        with Image.open(io.BytesIO(strip(file.getvalue()).content)) as image:
            assert image.info["transparency"] == options["transparency"]


def exif(entries, order="<", first=8):
    directory = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3] for entry in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", first)
    return head + struct.pack(order + "H", len(entries)) + directory


@pytest.mark.parametrize(
    ("data", "orientation"),
    [
        (exif([(0x0112, 3, 1, b"\6\0\0\0")]), 6),
        (exif([(0x0112, 3, 1, b"\0\6\0\0")], ">"), 6),
        (exif([(0x0112, 4, 1, b"\0\0\0\6")], ">"), 6),
        (exif([(1, 3, 1, bytes(4)), (0x0112, 3, 1, b"\x08\0\0\0")]), 8),
        (exif([(0x0112, 3, 1, b"\x09\0\0\0")]), 1),
        (exif([(0x0112, 3, 1, b"\0\0\0\0")]), 1),
        (exif([(1, 3, 1, bytes(4))]), 1),
        (exif([(0x0112, 3, 1, b"\6\0\0\0")], first=4_000_000_000), 1),
        (exif([])[:-1] + b"\xff", 1),
        (b"II*\0", 1),
        (b"", 1),
        (b"nothing of that kind", 1),
    ],
)
def test_orientations_of_sound_and_damaged_exif_data(data, orientation):
    jpeg = saved("JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 8) + b"Exif\0\0" + data
    assert strip(jpeg[:2] + segment + jpeg[2:]).orientation == orientation


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_no_cut_or_changed_file_does_harm(form):
    """Each is stripped to something, however damaged, that is no longer than before."""
    content = saved(form, orientation=6, **({"progressive": True} if form == "JPEG" else {}))
    random = np.random.default_rng(2)
    for length in range(8, len(content), 7):
        assert len(strip(content[:length]).content) <= length
    for _ in range(500):
        damaged = bytearray(content)
        for place in random.integers(8, len(content), 5):
            damaged[place] = random.integers(256)
        assert len(strip(bytes(damaged)).content) <= len(content)
