"""Folders of pictures in mixed formats, drawn with Pillow."""

import io

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "cross", "square")


def drawing(kind, seed, size=(32, 32)):
    """A dark shape on white; each seed gives a slightly different one."""
    random = np.random.default_rng(seed)
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    side = min(size)
    left, top = random.integers(2, side // 4, 2).tolist()
    right, bottom = (side - random.integers(2, side // 4, 2)).tolist()
    ink, box = int(random.integers(0, 60)), (left, top, right, bottom)
    if kind == "circle":
        draw.ellipse(box, outline=ink, width=3)
    elif kind == "square":
        draw.rectangle(box, outline=ink, width=3)
    else:
        draw.line((left, top, right, bottom), fill=ink, width=3)
        draw.line((left, bottom, right, top), fill=ink, width=3)
    return image


def on_nothing(image):
    """The drawing in black ink on a transparent background."""
    rgba = Image.new("RGBA", image.size, (0, 0, 0, 0))
    rgba.putalpha(image.point(lambda level: 255 - level))
    return rgba


def on_its_side(image):
    """The drawing turned on its side, and EXIF data that says so."""
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    return turned, exif


def sixteen_bits(image):
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def palette_with_transparency(image):
    """The drawing with a palette of two blacks, of which one is meant to be transparent."""
    indices = Image.fromarray((np.asarray(image) < 128).astype(np.uint8))
    indices.putpalette([0, 0, 0, 0, 0, 0])
    return indices


def save(image, path, kind):
    """Write the drawing in a format; `path` has no suffix."""
    if kind == "exif":
        turned, exif = on_its_side(image)
        turned.save(path.with_suffix(".jpg"), exif=exif, quality=95)
    elif kind == "palette":
        palette_with_transparency(image).save(path.with_suffix(".png"), transparency=0)
    elif kind == "transparent":
        on_nothing(image).save(path.with_suffix(".png"))
    elif kind == "sixteen":
        sixteen_bits(image).save(path.with_suffix(".png"))
    elif kind == "tiff16":
        sixteen_bits(image).save(path.with_suffix(".tif"))
    elif kind == "colour":
        image.convert("RGB").save(path.with_suffix(".PNG"))
    elif kind == "webp":
        image.convert("RGB").save(path.with_suffix(".webp"), lossless=True)
    elif kind == "bits":
        image.convert("1").save(path.with_suffix(".BMP"))
    else:
        image.save(path.with_suffix(f".{kind}"), **({"quality": 95} if kind == "jpg" else {}))


KINDS = (
    *("png", "jpg", "bmp", "tiff", "gif", "webp"),
    *("exif", "palette", "transparent", "sixteen", "tiff16", "colour", "bits"),
)


def make_folder(path, images=300, sizes=((32, 32),), kinds=KINDS):
    """Make one sub-folder per class with pictures of all kinds in turn."""
    for number in range(images):
        name = CLASSES[number % len(CLASSES)]
        (path / name).mkdir(parents=True, exist_ok=True)
        image = drawing(name, number, sizes[number % len(sizes)])
        save(image, path / name / f"{number:03}", kinds[number // len(CLASSES) % len(kinds)])
    return path


def png(pixels):
    """The bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
