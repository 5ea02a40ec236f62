"""Picture files of every kind are read as a person sees them, or refused."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from made_pictures import KINDS, drawing, png, save
from PIL import Image

from mnist_cnn.datasets.pictures.decoder import UnreadablePicture, decode, fit, read_header

HALVES = np.repeat(np.array([[0, 255]], np.uint8), 20, axis=1).repeat(30, axis=0)  # black, white


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_is_the_same_in_every_format(tmp_path, kind):
    image = drawing("cross", 1, (24, 32))
    save(image, tmp_path / "drawing", kind)
    (file,) = tmp_path.iterdir()
    picture = decode(file.read_bytes())
    assert (picture.width, picture.height) == (24, 32) and picture.grey
    inked = np.asarray(image) < 128
    assert np.mean((picture.rgb[..., 0] < 128) == inked) > 0.99
    header = read_header(file.read_bytes())
    assert (header.height, header.width) == (32, 24)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation, form):
    upright = np.zeros((20, 30), np.uint8)
    upright[:10, :15] = 255  # its upper left corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(file, form, exif=exif)
    picture = decode(file.getvalue())
    assert np.array_equal(picture.rgb[..., 0], upright)
    assert (picture.height, picture.width) == (20, 30)
    header = read_header(file.getvalue())
    assert (header.height, header.width) == (20, 30)


def test_damaged_exif_data_is_ignored():
    file = io.BytesIO()
    Image.fromarray(HALVES).save(file, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(file.getvalue()).rgb.shape == (30, 40, 3)


def test_transparent_paper_contrasts_with_the_ink():
    for ink, paper in ((0, 255), (255, 0)):
        rgba = np.full((20, 20, 4), (ink, ink, ink, 0), np.uint8)
        rgba[8:12, 2:18, 3] = 255
        rgb = decode(png(rgba)).rgb
        assert rgb[0, 0, 0] == paper and rgb[10, 10, 0] == ink


def test_sixteen_bits_are_scaled_to_eight():
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert decode(png(levels)).rgb[..., 0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_up_to_one_and_up_to_255_are_scaled(top):
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)).save(file, "TIFF")
    assert decode(file.getvalue()).rgb[..., 0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1.01, 255.5, 65535.0, 1e9])
def test_other_floats_are_refused(value):
    """Resizing exceeds a range, and of a single picture the range of its set cannot be told."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.float32)).save(file, "TIFF")
    with pytest.raises(UnreadablePicture, match="0 to 1, or 0 to 255"):
        decode(file.getvalue())


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "RGB"])
def test_colours_are_kept(mode):
    image = Image.new("RGB", (8, 8), (200, 30, 30)).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG" if mode in ("P", "RGB") else "JPEG")
    picture = decode(file.getvalue())
    assert not picture.grey and picture.rgb[4, 4, 0] > 150 > 90 > picture.rgb[4, 4, 1]


# Bounds


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def bomb(side):
    """A PNG of a few bytes that claims to have side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    for reading in (decode, read_header):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(UnreadablePicture, match="more than 64,000,000") as refusal:
                reading(bomb(side))
        assert refusal.value.problem == "large"


def test_fewer_pixels_and_formats_can_be_allowed():
    with pytest.raises(UnreadablePicture, match="more than 1,000 pixels"):
        decode(png(HALVES), max_pixels=1000)
    with pytest.raises(UnreadablePicture, match="valid: JPEG"):
        decode(png(HALVES), formats=("JPEG",))


def frames(kind, **options):
    file = io.BytesIO()
    images = [Image.new("L", (8, 8), level) for level in (0, 255)]
    images[0].save(file, kind, save_all=True, append_images=images[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_animations_and_pages_are_refused(kind):
    with pytest.raises(UnreadablePicture, match="several pages") as refusal:
        decode(frames(kind))
    assert refusal.value.problem == "several"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0, 0.05, 0.4])
def test_a_truncated_picture_is_refused(format, share):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    Image.fromarray(noise).save(file, format)
    content = file.getvalue()
    with pytest.raises(UnreadablePicture) as refusal:
        decode(content[: int(share * len(content))])
    assert refusal.value.problem == "damaged"
    assert len(str(refusal.value).splitlines()) == 1


def test_a_picture_with_a_flipped_bit_is_refused():
    """Asked a second time, Pillow returns what it could decode of a damaged PNG."""
    content = png(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    for place in range(60, len(content) - 20, 7):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(UnreadablePicture):
            decode(bytes(damaged))


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"GIF89a", b"hello", b"\xff\xd8\xff\xe0"])
def test_other_content_is_refused(content):
    for reading in (decode, read_header):
        with pytest.raises(UnreadablePicture):
            reading(content)


# Fitted into a size


def test_a_picture_of_the_right_size_is_unchanged():
    picture = decode(png(HALVES))
    assert np.array_equal(fit(picture, 30, 40, 1)[..., 0], HALVES)
    assert fit(picture, 30, 40, 3).shape == (30, 40, 3)


def test_proportions_are_kept_and_the_rest_has_the_colour_of_the_edge():
    dark = np.full((40, 20), 30, np.uint8)
    dark[18:22, 8:12] = 255
    fitted = fit(decode(png(dark)), 20, 20, 1)[..., 0]
    assert fitted.shape == (20, 20)
    assert (fitted[:, :5] == 30).all() and (fitted[:, 15:] == 30).all()
    rows, columns = np.nonzero(fitted > 150)
    assert (np.ptp(rows), np.ptp(columns)) == (1, 1)  # it is half as large, and square as before


@pytest.mark.parametrize("size", [(1, 100), (100, 1), (3, 3)])
def test_extreme_proportions_are_fitted(size):
    picture = decode(png(np.full(size, 200, np.uint8)))
    assert (fit(picture, 28, 28, 1) == 200).all()


def test_a_large_photo_is_shrunk_to_the_given_side():
    file = io.BytesIO()
    Image.fromarray(HALVES).resize((4000, 3000)).save(file, "JPEG")
    picture = decode(file.getvalue(), side=100)
    assert max(picture.rgb.shape) == 100 and (picture.width, picture.height) == (4000, 3000)
