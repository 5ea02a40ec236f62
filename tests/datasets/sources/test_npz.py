"""NumPy's files: pixels and labels under the names that people give them."""

import numpy as np
import pytest
from refusals import assert_refused

from mnist_cnn.datasets import check, npz
from mnist_cnn.errors import UsageError

COUNT = 60
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4), np.uint8)
LABELS = np.arange(COUNT) % 3
PARTS = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:30], "y_test": LABELS[:30]}


def saved(place, name="own.npz", **arrays):
    np.savez(place / name, **arrays)
    return place / name


def pixels_of(images):
    return np.rint(images.x * 255).astype(np.uint8)


def refused(path, *words):
    assert_refused(lambda: check(npz(path)), *words)


@pytest.mark.parametrize(
    "names",
    [
        ["x_train", "y_train", "x_test", "y_test"],
        ["X_train", "Y_train", "X_test", "Y_test"],
        ["train_images", "train_labels", "test_images", "test_labels"],
        ["train-imgs", "train-targets", "test-imgs", "test-targets"],
    ],
)
def test_two_parts_are_found_by_their_names(tmp_path, names):
    data = npz(saved(tmp_path, **dict(zip(names, PARTS.values(), strict=True))))
    check(data)
    assert (data.name, data.shape, data.class_names) == ("own", (4, 4, 1), ("0", "1", "2"))
    assert np.array_equal(pixels_of(data.train())[..., 0], PIXELS)
    assert np.array_equal(data.test().y, LABELS[:30])


@pytest.mark.parametrize(
    "names", [("x", "y"), ("X", "y"), ("images", "labels"), ("data", "target")]
)
def test_without_a_test_part_a_fifth_is_set_aside(tmp_path, names):
    data = npz(saved(tmp_path, **dict(zip(names, (PIXELS, LABELS), strict=True))))
    assert len(data.train()) + len(data.test()) == COUNT and len(data.test())


def test_a_validation_part_is_used_for_what_is_missing(tmp_path):
    own = {"val_images": PIXELS[:10], "val_labels": LABELS[:10, None]}
    train = {"train_images": PIXELS, "train_labels": LABELS[:, None]}
    test = {"test_images": PIXELS[:30], "test_labels": LABELS[:30, None]}
    data = npz(saved(tmp_path, **train, **own, **test))  # as MedMNIST has them
    assert (len(data.train()), len(data.test())) == (70, 30) and "val_images" in data.remarks[0]
    data = npz(saved(tmp_path, **train, **own))
    assert (len(data.train()), len(data.test())) == (60, 10) and "val_images" in data.remarks[0]


def test_groups_are_kept(tmp_path):
    groups = np.arange(COUNT) // 6
    data = npz(saved(tmp_path, x=PIXELS, y=LABELS, groups=groups))
    column = npz(saved(tmp_path, "column.npz", x=PIXELS, y=LABELS, groups=groups[:, None]))
    check(column, validation_fraction=0.2)
    assert column.digest == data.digest
    assert not set(data.train().groups) & set(data.test().groups)
    validation = {"x_val": PIXELS[:10], "y_val": LABELS[:10], "groups_val": LABELS[:10] + 10}
    data = npz(saved(tmp_path, **PARTS, **validation, groups_train=LABELS))
    assert data.train().groups.tolist() == [*LABELS, *(LABELS[:10] + 10)]


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_folder_may_have_one_file_per_array(tmp_path, suffix):
    for name, array in zip(
        ("k49-train-imgs", "k49-train-labels", "k49-test-imgs", "k49-test-labels"),
        PARTS.values(),
        strict=True,
    ):
        (np.save if suffix == "npy" else np.savez)(tmp_path / f"{name}.{suffix}", array)
    data = npz(tmp_path)
    assert np.array_equal(pixels_of(data.train())[..., 0], PIXELS) and len(data.test()) == 30


def test_arrays_with_further_words_are_not_mistaken_for_the_data(tmp_path):
    names = np.array(["a", "b", "c"])
    data = npz(saved(tmp_path, label_names=names, x_mean=PIXELS[0], x=PIXELS, labels=LABELS))
    assert data.shape == (4, 4, 1) and len(data.train()) + len(data.test()) == COUNT


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    refused(tmp_path / "x.npy", "x.npy is a single array", "numpy.savez")


SHAPES = {
    "in rows": PIXELS.reshape(COUNT, 16),
    "in columns": PIXELS.reshape(COUNT, 16, 1),
    "with a channel": PIXELS[..., None],
    "channel first": PIXELS[:, None],
    "from 0 to 1": PIXELS / 255,
    "from 0 to 1 in float16": (PIXELS / 255).astype(np.float16),
    "from 0 to 255 in floats": PIXELS.astype(np.float32),
    "in 16 bits": PIXELS.astype(np.uint16) * 257,
    "in integers": PIXELS.astype(np.int64),
}


@pytest.mark.parametrize("x", SHAPES.values(), ids=SHAPES.keys())
def test_pixels_of_every_shape_and_range_are_the_same(tmp_path, x):
    data = npz(saved(tmp_path, x_train=x, y_train=LABELS, x_test=x, y_test=LABELS))
    check(data)
    assert np.array_equal(pixels_of(data.train())[..., 0], PIXELS)
    assert np.array_equal(pixels_of(data.test())[..., 0], PIXELS)


@pytest.mark.parametrize("scaled", ["x_train", "x_val", "x_test"])
@pytest.mark.parametrize(
    "other", [PIXELS / 255, PIXELS // 255, PIXELS.astype(np.uint16) * 257], ids=["1", "bits", "16"]
)
def test_arrays_of_different_ranges_are_refused_by_name(tmp_path, scaled, other):
    """Read in the range of the others, the images of one of them would be black."""
    given = {**PARTS, "x_val": PIXELS, "y_val": LABELS, "x_test": PIXELS, "y_test": LABELS}
    others = "x_train" if scaled != "x_train" else "x_val"
    refused(saved(tmp_path, **given | {scaled: other}), scaled, others, "the same range")


def test_a_black_part_is_in_every_range(tmp_path):
    for pixels in (PIXELS, PIXELS / 255):
        data = npz(saved(tmp_path, **PARTS | {"x_train": pixels, "x_test": pixels[:30] * 0}))
        assert np.array_equal(pixels_of(data.train())[..., 0], PIXELS)


@pytest.mark.parametrize("first", [True, False])
def test_colours_are_the_last_channel(tmp_path, first):
    x = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 4, 3), np.uint8)
    stored = x.transpose(0, 3, 1, 2) if first else x
    data = npz(saved(tmp_path, x_train=stored, y_train=LABELS, x_test=stored, y_test=LABELS))
    assert data.shape == (5, 4, 3) and np.array_equal(pixels_of(data.train()), x)


def shaded(count, side):
    """Coloured images whose brightness rises with the row, the column or both."""
    ramp = np.linspace(0, 100, side)
    shades = np.stack([ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp, (ramp[:, None] + ramp)])
    colours = np.random.default_rng(1).integers(0, 50, (count, 1, 1, 3))
    return (shades[np.arange(count) % 3, :, :, None] + colours).astype(np.uint8)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("planes", [False, True])
def test_rows_of_colours_are_read_in_the_order_that_they_have(tmp_path, planes, column):
    """CIFAR's own files have all red, then all green, then all blue."""
    x = shaded(COUNT, 8)
    rows = (x.transpose(0, 3, 1, 2) if planes else x).reshape(COUNT, -1)
    rows = rows[..., None] if column else rows
    data = npz(saved(tmp_path, x_train=rows, y_train=LABELS, x_test=rows[:30], y_test=LABELS[:30]))
    assert np.array_equal(pixels_of(data.train()), x)
    assert np.array_equal(pixels_of(data.test()), x[:30])
    (remark,) = data.remarks
    assert ("all red, then all green" if planes else "red, green and blue in turn") in remark


def test_black_and_white_become_zero_and_one(tmp_path):
    x = PIXELS > 127
    for stored in (x, x.astype(np.uint8), x.astype(float)):
        data = npz(saved(tmp_path, x_train=stored, y_train=LABELS, x_test=stored, y_test=LABELS))
        assert np.array_equal(data.train().x[..., 0], x.astype(np.float32))


# Labels, the names of their classes, and the class of each of the three in LABELS.
LABELLINGS = {
    "in a column": (LABELS[:, None], ("0", "1", "2"), (0, 1, 2)),
    "one-hot": (np.eye(3)[LABELS], ("0", "1", "2"), (0, 1, 2)),
    "in columns of columns": (LABELS[:, None, None], ("0", "1", "2"), (0, 1, 2)),
    "from 1": (LABELS + 1, ("1", "2", "3"), (0, 1, 2)),
    "with gaps": (LABELS * 7, ("0", "7", "14"), (0, 1, 2)),
    "negative": (LABELS - 1, ("-1", "0", "1"), (0, 1, 2)),
    "as floats": (LABELS.astype(np.float32), ("0", "1", "2"), (0, 1, 2)),
    "as text": (np.array(["b", "a", "ü"])[LABELS], ("a", "b", "ü"), (1, 0, 2)),
    "as bytes": (np.array([b"b", b"a", "ü".encode()])[LABELS], ("a", "b", "ü"), (1, 0, 2)),
    "as numbers in text": (np.array(["10", "9", "8"])[LABELS], ("8", "9", "10"), (2, 1, 0)),
    "true and false": (LABELS > 0, ("0", "1"), (0, 1, 1)),
    "in unsigned 64 bits": (LABELS.astype(np.uint64), ("0", "1", "2"), (0, 1, 2)),
}


@pytest.mark.parametrize(("y", "names", "classes"), LABELLINGS.values(), ids=LABELLINGS.keys())
def test_labels_of_every_kind_become_class_names(tmp_path, y, names, classes):
    data = npz(saved(tmp_path, x_train=PIXELS, y_train=y, x_test=PIXELS, y_test=y))
    check(data)
    assert data.class_names == names
    assert np.array_equal(data.train().y, np.array(classes)[LABELS])


def changed(array, value):
    array = array.astype(float)
    array[7] = value
    return array


BAD = {
    "other names": ({"a": PIXELS, "b": LABELS}, ["a, b", "x_train"]),
    "two of a kind": ({"x": PIXELS, "images": PIXELS, "y": LABELS}, ["x, images", "the same"]),
    "no labels": ({"x_train": PIXELS}, ["x_train", "expected"]),
    "no test labels": ({**PARTS, "y_test": None}, ["lacks the array y_test"]),
    "labels too few": ({"x": PIXELS, "y": LABELS[:9]}, ["own.npz: x", "60", "9"]),
    "one label": ({"x": PIXELS, "y": np.array(3)}, ["60", "one value"]),
    "no images": ({"x": PIXELS[:0], "y": LABELS[:0]}, ["no images"]),
    "one image": ({"x": PIXELS[0, :3], "y": LABELS[:3]}, ["'0'", "and so have '1', '2'"]),
    "rows of no square": ({"x": PIXELS.reshape(-1, 5), "y": LABELS[:3]}, ["shape (192, 5)"]),
    "two shapes": ({**PARTS, "x_test": PIXELS[:30, :3]}, ["x_train", "x_test", "(3, 4, 1)"]),
    "five dimensions": ({"x": PIXELS[..., None, None], "y": LABELS}, ["shape (60, 4, 4, 1, 1)"]),
    "two channels": ({"x": PIXELS.reshape(COUNT, 2, 4, 2), "y": LABELS}, ["one channel or three"]),
    "no test images": ({**PARTS, "x_test": np.zeros((0, 16)), "y_test": []}, ["x_test has no"]),
    "signed": ({"x": PIXELS.astype(int) - 128, "y": LABELS}, ["own.npz: x", "image 0"]),
    "from -1 to 1": ({"x": PIXELS / 127.5 - 1, "y": LABELS}, ["own.npz: x", "-", "0 to 1"]),
    "a little above 1": ({"x": PIXELS / 240, "y": LABELS}, ["clip", "to 1 if"]),
    "a little above 255": ({"x": PIXELS * 1.02, "y": LABELS}, ["260.1", "clip", "to 255 if"]),
    "a part above 255": ({**PARTS, "x_test": PIXELS[:30] * 1.02}, ["x_test", "to 255 if"]),
    "a part above 1": ({**PARTS, "x_test": PIXELS[:30] / 250}, ["x_test", "to 1 if"]),
    "too large": ({"x": PIXELS * 999.0, "y": LABELS}, ["up to"]),
    "NaN": ({"x": changed(PIXELS, np.nan), "y": LABELS}, ["nan", "image 7"]),
    "infinite": ({"x": changed(PIXELS, np.inf), "y": LABELS}, ["inf", "image 7"]),
    "complex": ({"x": PIXELS * 1j, "y": LABELS}, ["complex"]),
    "text": ({"x": PIXELS.astype(str), "y": LABELS}, ["expected numbers"]),
    "labels with a half": ({"x": PIXELS, "y": LABELS + 0.5}, ["image 0", "0.5"]),
    "a label of NaN": ({"x": PIXELS, "y": changed(LABELS, np.nan)}, ["image 7", "nan"]),
    "an empty label": ({"x": PIXELS, "y": np.array(["a", "", "b"])[LABELS]}, ["image 1 ", "label"]),
    "labels in two columns": ({"x": PIXELS, "y": np.stack([LABELS, LABELS], 1)}, ["shape (60, 2)"]),
    "objects": ({"x": PIXELS, "y": np.array([object()] * COUNT)}, ["cannot read", "allow_pickle"]),
    "one class": ({"x": PIXELS, "y": LABELS * 0}, ["1 class"]),
    "groups too few": ({"x": PIXELS, "y": LABELS, "groups": LABELS[:9]}, ["its groups 9"]),
    "groups of training images only": (
        {**PARTS, "groups_train": LABELS, "x_val": PIXELS, "y_val": LABELS},
        ["x_val has no groups", "x_train has"],
    ),
    "groups of validation images only": (
        {**PARTS, "groups_val": LABELS, "x_val": PIXELS, "y_val": LABELS},
        ["x_train has no groups", "x_val has"],
    ),
    "groups in two columns": (
        {"x": PIXELS, "y": LABELS, "groups": PIXELS[:, :2, 0]}, ["its groups", "shape (60, 2)"]
    ),
    "groups of no part": ({**PARTS, "groups": LABELS}, ["groups is of no part", "groups_train"]),
    "one group": ({"x": PIXELS, "y": LABELS, "groups": LABELS * 0}, ["test images are empty"]),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "words"), BAD.values(), ids=BAD.keys())
def test_inconsistent_arrays_are_refused(tmp_path, arrays, words):
    given = {name: array for name, array in arrays.items() if array is not None}
    refused(saved(tmp_path, **given), *words)


@pytest.mark.parametrize("content", [b"", b"no zip", "cut", "damaged"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = saved(tmp_path, x=PIXELS, y=LABELS)
    whole = path.read_bytes()
    if content == "cut":
        content = whole[:-40]
    elif content == "damaged":
        content = whole[:200] + bytes(200) + whole[400:]
    path.write_bytes(content)
    refused(path, "own.npz")


def test_an_error_does_not_quote_the_file(tmp_path):
    path = saved(tmp_path, x=PIXELS, y=LABELS)
    damaged = bytearray(path.read_bytes())
    damaged[26:28] = b"\xff\xff"  # the length of the first name in it
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match="cannot read") as refusal:
        npz(path)
    assert len(str(refusal.value)) < 400


def test_several_arrays_in_a_file_of_a_folder_are_refused(tmp_path):
    saved(tmp_path, "x_train.npz", a=PIXELS, b=PIXELS)
    np.save(tmp_path / "y_train.npy", LABELS)
    refused(tmp_path, "x_train.npz", "several arrays")
