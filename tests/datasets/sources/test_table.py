"""Tables of pixels or names of pictures, as Kaggle, spreadsheets and pandas write them."""

import numpy as np
import pandas
import pytest
from PIL import Image
from refusals import assert_refused

from mnist_cnn.datasets import check, csv
from mnist_cnn.errors import UsageError

COUNT = 60
LABELS = np.arange(COUNT) % 3
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 16))
HEADER = ["label", *(f"pixel{number}" for number in range(16))]


def lines(header=HEADER, labels=LABELS, pixels=PIXELS):
    rows = [[label, *row] for label, row in zip(labels, pixels.tolist(), strict=True)]
    return ([header] if header else []) + rows


def text(rows, separator=",", end="\n"):
    return end.join(separator.join(map(str, row)) for row in rows) + end


def written(place, content, name="digits.csv", encoding="utf-8"):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def images_of(data):
    """All images and class names of both parts, by image name."""
    found = {}
    for images in (data.train(), data.test()):
        for index in range(len(images)):
            name = data.class_names[images.labels[index]]
            found[images.name(index)] = (images.x[index], name)
    return found


def refused(path, *words):
    assert_refused(lambda: check(csv(path)), *words)


# Pixels


def quoted(rows):
    return "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)


FORMS = {
    "as Kaggle's digit recogniser": text(lines()),
    "without a header": text(lines(None)),
    "with Windows line ends": text(lines(), end="\r\n"),
    "with the line ends of old Macs": text(lines(), end="\r"),
    "with a byte order mark": "\ufeff" + text(lines()),
    "quoted": quoted(lines()),
    "separated by semicolons": text(lines(), ";"),
    "separated by tabs": text(lines(), "\t"),
    "with spaces": text(lines(), ", "),
    "with empty lines": text(lines()).replace("\n", "\n\n"),
    "with the label last": text([[*row[1:], row[0]] for row in lines()]),
    "with an index": text([["", *HEADER], *([n, *row] for n, row in enumerate(lines(None)))]),
    "with an id": text([["id", *HEADER], *([n, *row] for n, row in enumerate(lines(None)))]),
    "with pixels called by their place": text(
        lines(["label", *(f"{row}x{column}" for row in range(1, 5) for column in range(1, 5))])
    ),
    "with pixels called by numbers": text(lines(["label", *range(16)])),
    "with floats that are whole": text(lines(None, LABELS.astype(float), PIXELS.astype(float))),
    "in capitals": text(lines(["LABEL", *HEADER[1:]])),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_pixels_are_the_same_in_every_form(tmp_path, content, encoding):
    data = csv(written(tmp_path, content, encoding=encoding))
    check(data)
    assert (data.name, data.shape, data.class_names) == ("digits", (4, 4, 1), ("0", "1", "2"))
    found = sorted(
        (label, (x * 255).round().ravel().tolist()) for x, label in images_of(data).values()
    )
    assert found == sorted(zip(map(str, LABELS), PIXELS.tolist(), strict=True))


def test_what_pandas_writes_is_read(tmp_path):
    frame = pandas.DataFrame(PIXELS, columns=HEADER[1:])
    frame.insert(0, "label", LABELS)
    frame.to_csv(tmp_path / "digits.csv")
    assert csv(tmp_path / "digits.csv").shape == (4, 4, 1)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("start", [0, 1])
def test_a_header_that_counts_the_columns_is_no_image(tmp_path, start, index):
    """As pandas writes it for an array. Its numbers would be pixels up to 784."""
    frame = pandas.DataFrame(np.column_stack([LABELS, PIXELS]), columns=range(start, start + 17))
    frame.to_csv(tmp_path / "digits.csv", index=index)
    data = csv(tmp_path / "digits.csv")
    plain = csv(written(tmp_path, text(lines(None)), "plain.csv"))
    assert data.digest == plain.digest
    assert f"column {start} is taken as the label" in data.remarks[0]
    assert "there is no header" in plain.remarks[0]


def test_a_label_that_is_assumed_in_two_tables_is_told_once(tmp_path):
    for name in ("train.csv", "test.csv"):
        written(tmp_path, text(lines(None)), name)
    assert csv(tmp_path).remarks == (
        "there is no header, so the first column is taken as the label",
    )


@pytest.mark.parametrize(
    ("top", "pixels"),
    [(1, PIXELS / 255), (255, PIXELS), (65535, PIXELS * 257), (255.0, PIXELS + 0.0)],
)
def test_pixels_of_every_range_are_the_same(tmp_path, top, pixels):
    data = csv(written(tmp_path, text(lines(pixels=pixels))))
    assert data.digest == csv(written(tmp_path, text(lines()), "other.csv")).digest


def test_colours_are_three_numbers_per_pixel(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (COUNT, 48))
    data = csv(written(tmp_path, text(lines(None, pixels=pixels))))
    assert data.shape == (4, 4, 3)
    image, _ = images_of(data)["row 1 of digits.csv"]
    assert (image * 255).round().ravel().tolist() == pixels[0].tolist()


def test_all_red_pixels_may_come_first(tmp_path):
    ramp = np.arange(0, 160, 10).reshape(4, 4)
    x = np.stack([ramp, ramp + 50, 90 - ramp // 2]) + np.arange(3)[LABELS][:, None, None, None]
    data = csv(written(tmp_path, text(lines(None, pixels=x.reshape(COUNT, 48)))))
    image, _ = images_of(data)["row 1 of digits.csv"]
    assert np.array_equal((image * 255).round(), x[0].transpose(1, 2, 0))
    assert any("all red, then all green, then all blue" in remark for remark in data.remarks)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS + 1, ("1", "2", "3")),
        (LABELS * 10, ("0", "10", "20")),
        (LABELS - 1, ("-1", "0", "1")),
        (LABELS.astype(float), ("0", "1", "2")),
        (np.array(["b", "A", "ü x"])[LABELS], ("A", "b", "ü x")),
        (np.array(["10", "9", "cat"])[LABELS], ("9", "10", "cat")),
    ],
)
def test_labels_of_every_kind_become_class_names(tmp_path, labels, names):
    data = csv(written(tmp_path, text(lines(labels=labels))))
    assert data.class_names == names
    for row, (_, name) in images_of(data).items():
        wanted = labels[int(row.split()[1]) - 2]
        assert name == (f"{wanted:g}" if isinstance(wanted, float) else str(wanted))


def test_a_folder_may_have_a_training_and_a_test_table(tmp_path):
    written(tmp_path, text(lines()), "fashion-mnist_train.csv")
    written(tmp_path, text(lines()[:31]), "fashion-mnist_test.csv")
    data = csv(tmp_path)
    assert (len(data.train()), len(data.test())) == (60, 30)


def test_kaggles_test_table_without_labels_is_skipped_with_a_remark(tmp_path):
    written(tmp_path, text(lines()), "train.csv")
    written(tmp_path, text([row[1:] for row in lines()]), "test.csv")
    written(tmp_path, "ImageId,Label\n1,0\n2,0\n", "sample_submission.csv")
    data = csv(tmp_path)
    assert len(data.train()) + len(data.test()) == COUNT
    assert "sample_submission.csv, test.csv" in data.remarks[0]


def test_tables_may_be_in_folders_of_their_parts(tmp_path):
    written(tmp_path, text(lines()), "sign_train/sign_train.csv")
    written(tmp_path, text(lines()[:31]), "sign_test/sign_test.csv")
    data = csv(tmp_path)
    assert (len(data.train()), len(data.test())) == (60, 30)


@pytest.mark.parametrize("name", ["train.csv", "Test.csv"])
def test_a_table_called_train_or_test_takes_the_name_of_its_folder(tmp_path, name):
    assert csv(written(tmp_path / "signs", text(lines()), name)).name == "signs"


def test_groups_and_splits_are_columns(tmp_path):
    rows = [
        [*row, number // 6, ["train", "test"][number % 2]] for number, row in enumerate(lines(None))
    ]
    data = csv(written(tmp_path, text([[*HEADER, "writer", "split"], *rows])))
    assert (len(data.train()), len(data.test())) == (30, 30)
    assert set(data.train().groups) == {str(number) for number in range(10)}
    rows = [row[:-1] for row in rows]
    data = csv(written(tmp_path, text([[*HEADER, "group"], *rows])))
    assert not set(data.train().groups) & set(data.test().groups)


def test_emnists_letters_are_upright_and_have_their_names(tmp_path):
    path = written(tmp_path, text(lines(None, LABELS + 1)), "emnist-letters-train.csv")
    data = csv(path)
    assert data.class_names == ("A", "B", "C")
    image, _ = images_of(data)["row 1 of emnist-letters-train.csv"]
    assert np.array_equal((image[..., 0] * 255).round(), PIXELS[0].reshape(4, 4).T)
    assert any("EMNIST" in remark and "transposed" in remark for remark in data.remarks)


BAD = {
    "a pixel missing": (text([row[:-1] for row in lines()]), ["label, pixel0", "15"]),
    "no label": (text([row[1:] for row in lines()]), ["no column `label`", "pixel0"]),
    "a label of another name": (
        text(lines(["klass", *HEADER[1:]])), ["no column `label`", "klass"]
    ),
    "a short row": (text([*lines()[:9], lines()[9][:5]]), ["row 10", "5 columns", "17"]),
    "a long row": (text([*lines()[:9], [*lines()[9], 1]]), ["row 10", "18 columns", "17"]),
    "a pixel that is no number": (
        text([*lines()[:9], ["1", "x", *PIXELS[0, 1:]]]), ["row 10", "'x'", "pixel0"]
    ),
    "an empty pixel": (text([*lines()[:9], ["1", "", *PIXELS[0, 1:]]]), ["row 10", "pixel0"]),
    "a pixel that is NaN": (text([*lines()[:9], ["1", "nan", *PIXELS[0, 1:]]]), ["row 10", "nan"]),
    "an infinite pixel": (text([*lines()[:9], ["1", "inf", *PIXELS[0, 1:]]]), ["row 10", "inf"]),
    "signed pixels": (text(lines(pixels=PIXELS - 128)), ["row 2", "-", "0 to 255"]),
    "pixels from -1 to 1": (text(lines(pixels=PIXELS / 127.5 - 1)), ["-0.", "0 to 1"]),
    "pixels above 65535": (text(lines(pixels=PIXELS * 1000)), ["up to", "65535"]),
    "an empty label": (text([*lines()[:9], ["", *PIXELS[0]]]), ["row 10", "no label"]),
    "a label of NaN": (text([*lines()[:9], ["NaN", *PIXELS[0]]]), ["row 10", "no label"]),
    "labels with a fraction": (text(lines(labels=LABELS / 4)), ["row 3", "0.25"]),
    "one class": (text(lines(labels=LABELS * 0)), ["1 class", "'0'"]),
    "a class of one image": (text([*lines(), [7, *PIXELS[0]]]), ["'7'", "1 training image"]),
    "nothing": ("", ["is empty"]),
    "a header alone": (text(lines()[:1]), ["no images"]),
    "another text": ("hello\nworld\n", ["no column `label`", "hello"]),
    "no text": (b"\xff\xd8\xff\xe0" * 9, ["not UTF-8 text"]),
    "zero bytes": (b"label,a\0b\n", ["label"]),
    "an unclosed quote": ('label,"pixel0\n' + text(lines(None)), ["columns"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD.keys())
def test_the_error_for_a_wrong_table_names_row_or_column(tmp_path, content, words):
    refused(written(tmp_path, content), *words)


@pytest.mark.parametrize("wrong", [b"\xff\n", b"\xc3"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_byte_that_is_not_text_is_counted_from_the_start_of_the_file(tmp_path, mark, wrong):
    content = (mark + text(lines() + lines(None) * 50)).encode()
    refused(written(tmp_path, content + wrong), f"at byte {len(content):,};")


def test_an_unknown_split_is_refused(tmp_path):
    rows = [[*row, "left"] for row in lines(None)]
    refused(written(tmp_path, text([[*HEADER, "split"], *rows])), "row 2", "'left'", "validation")


def test_a_row_without_its_group_is_refused(tmp_path):
    rows = [[*row, str(number // 6)] for number, row in enumerate(lines(None))]
    rows[3][-1] = " "
    refused(written(tmp_path, text([[*HEADER, "group"], *rows])), "row 5", "has no group")


def test_training_tables_with_and_without_groups_are_refused(tmp_path):
    grouped = [[*HEADER, "group"], *([*row, 7] for row in lines(None))]
    written(tmp_path, text(grouped), "train.csv")
    written(tmp_path, text(lines()), "val.csv")
    assert csv(tmp_path).train().groups is not None  # without test.csv, val.csv is the test part
    written(tmp_path, text(lines()), "test.csv")
    refused(tmp_path, "validation part", "has no groups", "training part")


def test_tables_of_different_ranges_are_refused(tmp_path):
    written(tmp_path, text(lines()), "train.csv")
    written(tmp_path, text(lines(pixels=PIXELS / 255)), "test.csv")
    refused(tmp_path, "the test part", "up to 1,", "the training part", "up to 255")


def test_a_validation_table_is_used_for_what_is_missing(tmp_path):
    written(tmp_path, text(lines()), "train.csv")
    written(tmp_path, text(lines()[:21]), "val.csv")
    assert [len(part) for part in (csv(tmp_path).train(), csv(tmp_path).test())] == [60, 20]
    written(tmp_path, text(lines()[:31]), "test.csv")
    data = csv(tmp_path)
    assert [len(part) for part in (data.train(), data.test())] == [80, 30]
    assert data.train().name(60) == "row 2 of val.csv"
    assert "the validation part" in data.remarks[0]


def test_several_tables_are_refused(tmp_path):
    for name in ("a.csv", "b.csv"):
        written(tmp_path, text(lines()), name)
    refused(tmp_path, "a.csv, b.csv", "the right one")


# Names of pictures


@pytest.fixture
def pictures(tmp_path):
    """Thirty pictures in a folder; each has its own number as grey level."""
    (tmp_path / "images").mkdir()
    for number in range(30):
        pixels = np.full((6, 6), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def named(form="images/{}.png", header="image,label", labels=("cat", "dog", "ü")):
    rows = [f"{form.format(number)},{labels[number % len(labels)]}" for number in range(30)]
    return "\n".join(([header] if header else []) + rows) + "\n"


NAMINGS = {
    "by path": named(),
    "by name": named("{}.png"),
    "by name without a suffix": named("{}", "id,label"),
    "by another path": named("/kaggle/input/train/{}.png", "image_path,class"),
    "as Windows does": named("images\\{}.png"),
    "as Hugging Face does": named("images/{}.png", "file_name,label"),
    "without a header": named(header=None),
    "quoted": named('"images/{}.png"', '"image","label"'),
}


@pytest.mark.parametrize("content", NAMINGS.values(), ids=NAMINGS.keys())
def test_pictures_are_found_however_they_are_named(pictures, content):
    data = csv(written(pictures, content))
    check(data)
    assert (data.shape, data.class_names) == ((6, 6, 1), ("cat", "dog", "ü"))
    found = images_of(data)
    assert len(found) == 30
    for name, (x, label) in found.items():
        number = round(float(x.max()) * 255)
        assert name == f"images/{number}.png" and label == ("cat", "dog", "ü")[number % 3]


def test_absolute_paths_into_the_folder_are_accepted(pictures):
    assert csv(written(pictures, named(f"{pictures}/images/{{}}.png"))).shape == (6, 6, 1)


def test_each_part_may_have_its_table_beside_its_pictures(tmp_path):
    for part, count in (("train", 6), ("test", 4)):
        rows = ["file_name,label"]
        (tmp_path / part).mkdir()
        for number in range(count):
            pixels = np.full((6, 6), number + len(part) * 20, np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{number}.jpg")
            rows.append(f"{number}.jpg,{'ab'[number % 2]}")
        written(tmp_path / part, "\n".join(rows), "metadata.csv")
    data = csv(tmp_path)
    check(data)
    assert (len(data.train()), len(data.test())) == (6, 4)


def test_training_pictures_with_and_without_groups_are_refused(pictures):
    rows = [line.split(",") for line in named().splitlines()]
    for name, column in (("train", "group"), ("val", "7"), ("test", "7")):
        grouped = [[*rows[0], "group"], *([*row, "7"] for row in rows[1:])]
        written(pictures, text(grouped if column == "group" else rows), f"{name}.csv")
    refused(pictures, "row 2 of val.csv", "has no group")


def test_the_part_decides_between_pictures_of_the_same_name(tmp_path):
    for part, first in (("train", 0), ("test", 100)):
        (tmp_path / f"{part}_imgs").mkdir()
        for number in range(6):
            image = Image.new("L", (6, 6), first + number)
            image.save(tmp_path / f"{part}_imgs" / f"{number}.png")
        rows = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(6))
        written(tmp_path, "filename,category\n" + rows, f"{part}.csv")
    data = csv(tmp_path)
    assert data.train().x.max() < 0.1 and data.test().x.min() > 0.3


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("images/77.png,cat", ["row 32", "images/77.png", "is not in"]),
        ("../outside.png,cat", ["outside.png", "leads out of the folder"]),
        ("/etc/passwd,cat", ["passwd", "leads out"]),
        (",cat", ["row 32", "does not name a picture"]),
        ("images/1.png,", ["row 32", "no label"]),
        ("digits.csv,cat", ["row 32", "digits.csv", "not a picture"]),
        ("images/bad.png,cat", ["images/bad.png", "cannot be read"]),
        ("images/loop.png,cat", ["images/loop.png"]),
        ("a" * 5000 + ",cat", ["row 32", "is not in"]),
    ],
)
def test_a_row_without_a_valid_picture_is_refused(pictures, row, words):
    (pictures / "images" / "bad.png").write_bytes(b"no picture")
    Image.new("L", (6, 6)).save(pictures.parent / "outside.png")
    path = written(pictures, named() + row + "\n")
    if "loop" in row:
        (pictures / "images" / "loop.png").symlink_to("loop.png")
    refused(path, *words)


def test_unreadable_pictures_are_listed_if_asked(pictures):
    (pictures / "images" / "bad.png").write_bytes(b"no picture")
    path = written(pictures, named() + "images/bad.png,cat\n")
    unreadable = []
    data = csv(path, unreadable)
    assert len(images_of(data)) == 30 and unreadable[0].startswith("images/bad.png cannot be read")


def test_a_change_after_opening_is_noticed(pictures):
    data = csv(written(pictures, named()))
    for number in range(30):
        Image.new("L", (6, 6), 250 - number).save(pictures / "images" / f"{number}.png")
    with pytest.raises(UsageError, match="has changed"):
        data.train()


def of_classes(place, *missing):
    """Three pictures in each of two folders, but for the missing ones."""
    for first, name in ((0, "cat"), (100, "dog")):
        (place / name).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            if f"{name}/{number}" not in missing:
                Image.new("L", (6, 6), first + number).save(place / name / f"{number}.png")
    return place


def rows_of_classes(form="{}/{}.png"):
    rows = [f"{form.format(name, number)},{name}\n" for name in ("cat", "dog") for number in "012"]
    return "image,label\n" + "".join(rows)


@pytest.mark.parametrize("missing", [["cat/2"], ["cat/0", "cat/1", "cat/2"]])
@pytest.mark.parametrize("place", ["", "images"])
def test_a_missing_picture_is_not_taken_from_another_folder(tmp_path, missing, place):
    of_classes(tmp_path / place, *missing)
    refused(written(tmp_path, rows_of_classes()), "row", "'cat/", "which is not in")


@pytest.mark.parametrize("form", ["{}/{}.png", "{}/{}", "/home/ada/photos/{}/{}.png"])
def test_the_folders_that_a_row_gives_decide_between_pictures_of_the_same_name(tmp_path, form):
    of_classes(tmp_path / "images")
    data = csv(written(tmp_path, rows_of_classes(form)))
    for name, (_, label) in images_of(data).items():
        assert name.startswith(f"images/{label}/")
    assert not any("by name" in line for line in data.remarks)


@pytest.mark.parametrize("inner", ["", "images/"])
def test_a_picture_of_another_part_is_not_taken(tmp_path, inner):
    for part, numbers in (("train", "01"), ("test", "012")):
        (tmp_path / part / inner).mkdir(parents=True)
        for number in numbers:
            Image.new("L", (6, 6), int(number)).save(tmp_path / part / inner / f"{number}.png")
        rows = "".join(f"{inner}{number}.png,{label}\n" for number, label in enumerate("aba"))
        written(tmp_path / part, "file_name,label\n" + rows, "metadata.csv")
    refused(tmp_path, "row 4 of metadata.csv", "2.png'", "which is not in")


def test_tables_of_parts_may_share_a_folder_of_pictures(tmp_path):
    of_classes(tmp_path / "images")
    for part, number in (("train", 0), ("train", 1), ("test", 2)):
        rows = "".join(f"{name}/{number}.png,{name}\n" for name in ("cat", "dog"))
        path = tmp_path / part / "labels.csv"
        before = path.read_text() if path.exists() else "image,label\n"
        written(tmp_path / part, before + rows, "labels.csv")
    data = csv(tmp_path)
    assert (len(data.train()), len(data.test())) == (4, 2)


def test_pictures_found_by_name_alone_are_remarked_on(pictures):
    data = csv(written(pictures, named("/kaggle/input/train/{}.png")))
    (remark,) = (line for line in data.remarks if "by name" in line)
    assert "row 2 of digits.csv names '/kaggle/input/train/0.png': images/0.png" in remark
    assert "27 more" in remark
    for form in ("images/{}.png", "{}.png", "/elsewhere/images/{}"):
        data = csv(written(pictures, named(form)))
        assert not any("by name" in line for line in data.remarks)


def test_other_files_do_not_share_the_name_of_a_picture(pictures):
    for number in range(30):
        written(pictures, "about", f"images/{number}.txt")
    assert len(images_of(csv(written(pictures, named("{}", "id,label"))))) == 30
