"""From a picture to MNIST images: redrawn test images, segmentation, ink and paper."""

import io

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from serving_project import draw, png, train

from mnist_cnn.datasets import mnist
from mnist_cnn.serving.drawing import mnist_image
from mnist_cnn.serving.images import decode
from mnist_cnn.serving.inference import Predictor
from mnist_cnn.serving.ink import find_ink
from mnist_cnn.serving.refusal import Refusal
from mnist_cnn.serving.segmentation import MAX_DIGITS, find_digits


@pytest.fixture(scope="module")
def digits():
    """A few of MNIST's training images, (n, 28, 28) in [0, 1], and their labels."""
    few = mnist().first(200).train()
    return few.x[..., 0], few.y


def read(rgb):
    """The model's inputs for a picture."""
    return [mnist_image(digit.ink) for digit in find_digits(find_ink(rgb))]


def grey(levels):
    return np.repeat(np.asarray(levels, np.uint8)[..., np.newaxis], 3, axis=2)


def unlike(one, other):
    """The mean difference of pixels, at the best shift by up to one pixel.

    A centre between two pixels may be rounded either way.
    """
    shifts = [np.roll(one, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return min(np.abs(shift - other).mean() for shift in shifts)


def test_an_mnist_image_stays_as_it_is(digits):
    for image in digits[0][:50]:
        again = mnist_image(image)
        assert again.shape == (28, 28) and again.dtype == np.float32
        assert unlike(again, image) < 0.012


def test_size_and_centre_are_those_of_mnist(digits):
    random = np.random.default_rng(0)
    for image in digits[0][:60]:
        (drawn,) = read(draw(image, int(random.integers(60, 300)), 0.3, random))
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (20, 21)
        for axis in (0, 1):
            centre = drawn.sum(1 - axis) @ np.arange(28) / drawn.sum()
            assert 13.4 < centre < 14.6


def test_the_same_drawing_at_any_size_and_place_is_the_same_image(digits):
    random = np.random.default_rng(1)
    for image in digits[0][:20]:
        seen = [read(draw(image, side, 0.2, random))[0] for side in (120, 200, 300)]
        assert max(unlike(one, seen[0]) for one in seen) < 0.05


@pytest.mark.parametrize("pen", [1, 3, 60])
def test_fine_and_broad_pens_give_strokes_like_mnists(pen):
    field = np.ones((320, 320), bool)
    field[160, 60:260] = field[60:260, 160] = False  # a cross, 200 pixels large
    distance = ndimage.distance_transform_edt(field)
    (image,) = read(grey(255 * np.clip(distance - pen / 2 + 0.5, 0, 1)))
    across = image[:, 20]  # a column at the right, where only the horizontal stroke is
    assert 1.2 < across.sum() < 5


@pytest.mark.parametrize("kind", ["dark on light", "light on dark", "blue on yellow", "pale"])
def test_ink_is_found_in_any_colours(digits, kind):
    drawn = draw(digits[0][0], 200, 0.3, np.random.default_rng(2))
    share = 1 - drawn[..., :1] / 255.0
    paper, ink = {
        "dark on light": ((255, 255, 255), (0, 0, 0)),
        "light on dark": ((20, 30, 28), (240, 240, 230)),
        "blue on yellow": ((250, 230, 90), (40, 60, 160)),
        "pale": ((250, 250, 250), (205, 205, 205)),
    }[kind]
    coloured = np.array(paper) * (1 - share) + np.array(ink) * share
    (image,) = read(coloured.astype(np.uint8))
    (expected,) = read(drawn)
    assert unlike(image, expected) < 0.01


DRAWINGS = [  # the digit's size in pixels, the growth of strokes (see `draw`), the sheet's size
    (84, 0, (112, 112)),
    (200, -0.15, (240, 240)),
    (112, 0.4, (150, 300)),
    (200, 0.7, (240, 240)),
]


def right(net, images, labels, side, pen, sheet):
    """Which images the net classifies correctly as they are and redrawn: two arrays of bool."""
    random = np.random.default_rng(0)
    seen = [read(draw(image, side, pen, random, sheet)) for image in images[..., 0]]
    alone = np.array([len(digits) == 1 for digits in seen])
    drawn = np.array([digits[0] for digits in seen])[..., np.newaxis]
    direct, anew = (net(x).argmax(axis=1) == labels for x in (images, drawn))
    return direct, anew & alone


@pytest.mark.parametrize(("side", "pen", "sheet"), DRAWINGS)
def test_a_drawing_is_read_as_well_as_the_image(digit_model, side, pen, sheet):
    """On 800 test images the accuracy drops by at most 0.3 points, plus two standard errors."""
    test = mnist().test()
    some = np.random.default_rng(0).permutation(len(test.x))[:800]
    net = Predictor(keras.models.load_model(digit_model))
    direct, drawn = right(net, test.x[some], test.y[some], side, pen, sheet)
    lost, won = (direct & ~drawn).sum(), (drawn & ~direct).sum()
    assert direct.mean() > 0.97
    assert lost - won <= 0.003 * len(some) + 2 * np.sqrt(lost + won)


@pytest.fixture(scope="module")
def good_net(tmp_path_factory):
    """A network like those of the default search, trained on distorted digits."""
    path = tmp_path_factory.mktemp("model") / "good.keras"
    train(path, filters=(24, 48, 64), epochs=8, distorted=True)
    return Predictor(keras.models.load_model(path))


@pytest.mark.slow
@pytest.mark.parametrize(("side", "pen", "sheet"), [*DRAWINGS, (112, -0.25, (150, 150))])
def test_redrawing_all_test_images_costs_at_most_three_tenths_of_a_point(
    good_net, side, pen, sheet
):
    test = mnist().test()
    direct, drawn = right(good_net, test.x, test.y, side, pen, sheet)
    print(f"size {side}, pen {pen:+}: {direct.mean():.2%} directly, {drawn.mean():.2%} drawn")
    assert direct.mean() > 0.99
    assert direct.mean() - drawn.mean() <= 0.003


def test_several_digits_are_read_from_left_to_right(digits):
    random = np.random.default_rng(3)
    line = [draw(image, 120, 0.2, random, (200, 160)) for image in digits[0][:5]]
    alone = [read(one)[0] for one in line]
    together = read(np.concatenate(line, axis=1))
    assert len(together) == 5
    assert all(np.abs(a - b).max() < 0.01 for a, b in zip(alone, together, strict=True))


def test_a_photo_with_a_shadow_gives_the_same_images_as_the_drawing(digits):
    random = np.random.default_rng(4)
    line = np.concatenate([draw(i, 120, 0.3, random, (220, 170)) for i in digits[0][5:9]], axis=1)
    photo = as_photo(line, random)
    seen = read(decode(photo).rgb)
    assert len(seen) == 4
    for one, other in zip(seen, read(line), strict=True):
        assert unlike(one, other) < 0.05


def as_photo(line, random):
    """Blue ink on grey paper, lit from one side, a shadow across, grain, JPEG."""
    height, width, _ = line.shape
    share = ndimage.gaussian_filter(1 - line[..., 0] / 255.0, 1)[..., np.newaxis]
    picture = np.array([222, 216, 200]) * (1 - share) + np.array([40, 50, 110]) * share
    y, x = np.mgrid[:height, :width] / width
    light = (0.75 + 0.4 * x) * ndimage.gaussian_filter(np.where(x + 0.4 * y > 0.5, 0.65, 1.0), 5)
    picture = picture * light[..., np.newaxis] + random.normal(0, 5, picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return file.getvalue()


def test_the_detached_bar_of_a_five_stays_with_it():
    sheet = np.full((200, 300), 255)
    sheet[60:160, 60:80] = 0
    sheet[40:52, 90:150] = 0  # the bar: next to the body, much shorter
    sheet[40:160, 220:236] = 0  # a digit of its own
    assert [digit.width for digit in find_digits(find_ink(grey(sheet)))] == [90, 16]


def test_the_long_bar_of_a_five_stays_with_it_and_a_slanting_line_is_two_digits():
    sheet = np.full((200, 300), 255)
    sheet[80:180, 40:80] = 0
    sheet[20:72, 70:150] = 0  # the bar: half the body's height, above it, with little overlap
    assert [digit.width for digit in find_digits(find_ink(grey(sheet)))] == [110]
    sheet[:] = 255
    sheet[90:190, 40:80] = sheet[10:110, 90:130] = 0
    assert [digit.width for digit in find_digits(find_ink(grey(sheet)))] == [40, 40]


def test_digits_that_touch_or_stand_above_each_other_are_marked():
    sheet = np.full((300, 400), 255)
    sheet[100:110, 40:360] = sheet[60:160, 40:60] = sheet[60:160, 340:360] = 0
    assert [digit.doubtful for digit in find_digits(find_ink(grey(sheet)))] == [True]
    sheet[:] = 255
    sheet[20:120, 100:120] = sheet[160:260, 105:125] = 0
    assert [digit.doubtful for digit in find_digits(find_ink(grey(sheet)))] == [True]


def test_blank_paper_has_no_digits():
    random = np.random.default_rng(5)
    for sheet in (
        np.full((50, 60), 255),
        np.full((1, 1), 0),
        random.integers(200, 215, (300, 400)),  # grain
        np.linspace(90, 230, 400) * np.ones((300, 1)),  # light from one side
    ):
        assert read(grey(sheet)) == []


def test_grain_and_too_many_digits_are_refused():
    specks = np.full((400, 400), 255)
    specks[::8, ::8] = specks[1::8, ::8] = specks[::8, 1::8] = specks[2::8, ::8] = 0
    with pytest.raises(Refusal, match="more pieces of ink"):
        read(grey(specks))
    sheet = np.full((40, 20 * (MAX_DIGITS + 1)), 255)
    sheet[5:35, 5::20] = 0
    with pytest.raises(Refusal, match="more than 32 digits"):
        read(grey(sheet))


def test_pictures_of_every_mode_are_decoded_alike(digits):
    drawn = draw(digits[0][1], 200, 0.3, np.random.default_rng(7))
    drawn = np.where(drawn < 128, 0, 255).astype(np.uint8)  # one bit can hold only these
    picture = Image.fromarray(drawn)
    level = np.asarray(picture.convert("L"))
    clear = Image.fromarray(np.zeros_like(drawn)).convert("RGBA")
    clear.putalpha(Image.fromarray(255 - level))
    kinds = {
        "palette": picture.quantize(16),
        "one bit": picture.convert("1", dither=Image.Dither.NONE),
        "16 bits": Image.fromarray(level.astype(np.uint16) * 257),
        "transparent": clear,
        "grey with alpha": picture.convert("LA"),
    }
    (expected,) = read(drawn)
    for name, kind in kinds.items():
        (image,) = read(decode(png(kind)).rgb)
        assert unlike(image, expected) < 0.01, name


def test_a_photo_is_rotated_as_exif_says(digits):
    drawn = Image.fromarray(draw(digits[0][2], 200, 0.3, np.random.default_rng(8)))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    file = io.BytesIO()
    drawn.rotate(90, expand=True).save(file, "JPEG", quality=95, exif=exif)
    picture = decode(file.getvalue())
    assert (picture.width, picture.height) == drawn.size
    (image,) = read(picture.rgb)
    assert unlike(image, read(np.asarray(drawn))[0]) < 0.02
