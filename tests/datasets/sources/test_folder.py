"""Folders of pictures with one sub-folder per class, as people have them on disk."""

import os
import re

import numpy as np
import pytest
from made_pictures import CLASSES, drawing, make_folder, png
from PIL import Image

from mnist_cnn.datasets import check, folder
from mnist_cnn.errors import UsageError


def write(path, level=0, size=(8, 8)):
    """Write a white picture with a square of the given grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, 255, np.uint8)
    pixels[2:6, 2:6] = level
    Image.fromarray(pixels).save(path, "PNG")
    return path


def two_classes(place, count=20):
    for number in range(count):
        for name in ("cat", "dog"):
            write(place / name / f"{number}.png", number + (100 if name == "dog" else 0))
    return place


def refused(*words, place, **options):
    """The error is one line with all the words, and the folder is unchanged."""
    before = sorted(place.rglob("*")) if place.is_dir() else []
    with pytest.raises(UsageError) as refusal:
        data = folder(place, **options)
        check(data)
    (line,) = str(refusal.value).splitlines()
    for word in words:
        assert word in line
    assert (sorted(place.rglob("*")) if place.is_dir() else []) == before


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """300 pictures in every format."""
    return make_folder(tmp_path_factory.mktemp("shapes"))


def test_three_hundred_pictures_in_mixed_formats(mixed):
    data = folder(mixed)
    check(data, validation_fraction=0.1, batch_size=32)
    assert (data.shape, data.class_names) == ((32, 32, 1), CLASSES)
    train, test = data.train(), data.test()
    assert len(train) + len(test) == 300 and 40 < len(test) < 80
    for images in (train, test):  # each is what was drawn, in black on white, whatever its format
        for index, label in enumerate(images.labels):
            number = int(re.search(r"(\d+)\.", images.name(index))[1])
            inked = np.asarray(drawing(CLASSES[label], number)) < 128
            assert np.mean((images.x[index, ..., 0] < 0.5) == inked) > 0.96


def test_names_and_order_of_files_do_not_matter(mixed, tmp_path):
    digest = folder(mixed).digest
    for number, path in enumerate(sorted(mixed.rglob("*.*"))):
        copy = tmp_path / path.parent.name / f"{(number * 7919) % 300}{path.suffix}"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    other = folder(tmp_path)
    assert other.digest == digest
    assert np.array_equal(other.train().x, folder(mixed).train().x)


def test_the_digest_depends_on_content_class_and_size(tmp_path):
    place = two_classes(tmp_path)
    digests = [folder(place).digest, folder(place, size=7).digest]
    (place / "cat" / "3.png").rename(place / "dog" / "x3.png")
    digests.append(folder(place).digest)
    write(place / "cat" / "3.png", 250)
    digests.append(folder(place).digest)
    (place / "cat").rename(place / "lion")
    digests.append(folder(place).digest)
    assert len(set(digests)) == 5


def test_added_pictures_move_no_other_into_the_test_part(tmp_path):
    place = two_classes(tmp_path, 50)
    before = {image.tobytes() for image in folder(place).test().x}
    for number in range(50, 80):
        write(place / "cat" / f"a{number}.png", number + 120)
    after = folder(place)
    assert before <= {image.tobytes() for image in after.test().x}
    assert not before & {image.tobytes() for image in after.train().x}


def test_the_first_images_are_of_all_classes(mixed):
    assert set(folder(mixed).first(30).train().labels) == {0, 1, 2}


# Its layout


def test_train_and_test_folders_contain_the_classes(tmp_path):
    two_classes(tmp_path / "Train", 5)
    two_classes(tmp_path / "test", 3)
    data = folder(tmp_path)
    assert (len(data.train()), len(data.test())) == (10, 6)
    assert data.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("parts", "train", "test", "said"),
    [
        (["train", "val", "test"], ["train", "val"], ["test"], "val is used for training"),
        (["training", "validation"], ["training"], ["validation"], "is used as the test part"),
        (["trainingSet", "testSet"], ["trainingSet"], ["testSet"], None),
    ],
)
def test_a_validation_part_is_used_for_what_is_missing(tmp_path, parts, train, test, said):
    for number, part in enumerate(parts):
        two_classes(tmp_path / part, number + 3)
    data = folder(tmp_path)
    for found, wanted in ((data.train(), train), (data.test(), test)):
        assert {name.partition("/")[0] for name in found.names} == set(wanted)
    assert any(said in line for line in data.remarks) if said else not data.remarks


@pytest.mark.parametrize("flat", ["test/1.png", "testSet/testSet/1.png", "docs/1.png"])
def test_a_test_part_without_classes_is_skipped(tmp_path, flat):
    """Competitions have such test parts: their labels are secret."""
    two_classes(tmp_path / "train")
    write(tmp_path / flat, 99)
    data = folder(tmp_path)
    assert len(data.train()) + len(data.test()) == 40
    assert flat.partition("/")[0] in data.remarks[0]


def test_a_part_may_be_wrapped_in_a_folder(tmp_path):
    two_classes(tmp_path / "trainingSet" / "trainingSet", 4)
    two_classes(tmp_path / "testSet" / "testSet", 3)
    data = folder(tmp_path)
    assert (data.class_names, len(data.test())) == (("cat", "dog"), 6)


@pytest.mark.parametrize(
    "form", ["seg_{part}/seg_{part}", "asl_alphabet_{part}", "{part}-2024", "natural scenes {part}"]
)
@pytest.mark.parametrize("flat", [False, True])
def test_parts_may_have_longer_names(tmp_path, form, flat):
    """As Kaggle's scenes and sign language have them; the pictures to predict have no classes."""
    two_classes(tmp_path / form.format(part="train"), 9)
    two_classes(tmp_path / form.format(part="test"), 4)
    if flat:
        for path in (tmp_path / form.format(part="test")).glob("*/*"):
            path.rename(path.parent.parent / f"{path.parent.name}{path.name}")
        for name in ("cat", "dog"):
            (tmp_path / form.format(part="test") / name).rmdir()
    write(tmp_path / "seg_pred" / "seg_pred" / "1.png", 99)
    data = folder(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert len(data.train()) + len(data.test()) == (18 if flat else 26)
    assert flat or len(data.test()) == 8
    assert "seg_pred" in data.remarks[0]


@pytest.mark.parametrize("names", [("train_station", "crash_test"), ("train_station", "bus")])
def test_classes_may_have_such_words_in_their_names(tmp_path, names):
    for number, name in enumerate(names):
        for level in range(9):
            write(tmp_path / name / f"{level}.png", level + 100 * number)
    assert folder(tmp_path).class_names == tuple(sorted(names))
    if "bus" in names:
        (tmp_path / "train_station" / "2024").mkdir()
        for file in (tmp_path / "train_station").glob("*.png"):
            file.rename(file.parent / "2024" / file.name)
        assert folder(tmp_path).class_names == tuple(sorted(names))


def test_a_train_folder_alone_is_split(tmp_path):
    two_classes(tmp_path / "train", 30)
    data = folder(tmp_path)
    assert len(data.train()) + len(data.test()) == 60 and len(data.test()) < 25


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        for number in range(9):
            write(tmp_path / name / f"{number}.png", number + (100 if name == "bus" else 0))
    assert folder(tmp_path).class_names == ("bus", "train")


def test_numeric_classes_are_sorted_by_value_and_keep_their_names(tmp_path):
    for name in ("10", "9", "02", "b", "A"):
        write(tmp_path / name / "x.png", ord(name[-1]))
    assert folder(tmp_path).class_names == ("02", "9", "10", "A", "b")


def test_sub_folders_of_a_class_belong_to_it(tmp_path):
    two_classes(tmp_path)
    write(tmp_path / "cat" / "2024" / "may" / "x.png", 222)
    names = [*folder(tmp_path).train().names, *folder(tmp_path).test().names]
    assert "cat/2024/may/x.png" in names


def test_a_folder_that_an_archive_wraps_is_found(tmp_path):
    two_classes(tmp_path / "archive" / "archive")
    (tmp_path / "archive" / "README.md").write_text("about")
    assert folder(tmp_path / "archive").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "litter",
    [
        "Thumbs.db",
        ".DS_Store",
        "cat/Thumbs.db",
        "cat/desktop.ini",
        "cat/._1.png",
        ".ipynb/x.png",
        "__MACOSX/cat/._1.png",
        "cat/@eaDir/1.png",
    ],
)
def test_files_of_operating_systems_are_ignored(tmp_path, litter):
    digest = folder(two_classes(tmp_path)).digest
    file = tmp_path / litter
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"litter")
    assert folder(tmp_path).digest == digest
    assert "litter" not in str(folder(tmp_path).remarks)


def test_other_files_are_skipped_with_a_remark(tmp_path):
    two_classes(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("about")
    (tmp_path / "labels.json").write_text("{}")
    write(tmp_path / "loose.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")  # would never end
    remarks = folder(tmp_path).remarks
    assert any("cat/notes.txt" in line for line in remarks)
    assert any("loose.png" in line for line in remarks)


def test_pictures_are_recognised_by_content(tmp_path):
    two_classes(tmp_path)
    for name in ("UPPER.PNG", "no_suffix", "wrong.jpg", "odd.data"):
        write(tmp_path / "cat" / name, len(name) + 200)
    names = [*folder(tmp_path).train().names, *folder(tmp_path).test().names]
    assert {"cat/UPPER.PNG", "cat/no_suffix", "cat/wrong.jpg", "cat/odd.data"} <= set(names)


@pytest.mark.parametrize(
    "name", ["two words", "über", "wo?", "100%", "a'b\"c", "#1", "日本", "-v", "~", "*", "a;b|c"]
)
def test_odd_folder_names_become_class_names(tmp_path, name):
    place = two_classes(tmp_path / name / "my data")
    (place / "cat").rename(place / name)
    data = folder(place)
    check(data)
    assert set(data.class_names) == {name, "dog"}


def test_undecodable_names_are_escaped(tmp_path):
    place = two_classes(tmp_path)
    (place / "cat").rename(place / os.fsdecode(b"caf\xe9\n2"))
    data = folder(place)
    assert data.class_names == (r"caf\udce9\n2", "dog")
    (place / os.fsdecode(b"caf\xe9\n2") / "1.png").write_text("no picture")
    refused(r"caf\udce9\n2/1.png", place=place)


def test_two_encodings_of_an_accent_are_one_class(tmp_path):
    two_classes(tmp_path / "train", 4)
    two_classes(tmp_path / "test", 3)
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "u\N{COMBINING DIAERESIS}ber")  # macOS
    (tmp_path / "test" / "cat").rename(
        tmp_path / "test" / "\N{LATIN SMALL LETTER U WITH DIAERESIS}ber"
    )
    assert len(folder(tmp_path).class_names) == 2


# Sizes and colours


def test_pictures_are_fitted_into_the_most_frequent_size(tmp_path):
    two_classes(tmp_path)
    write(tmp_path / "cat" / "large.png", size=(80, 60))
    data = folder(tmp_path)
    assert data.shape == (8, 8, 1)
    assert "8x8 (40), 80x60 (1)" in " ".join(data.remarks)
    assert folder(tmp_path, size=(10, 12)).train().x.shape[1:] == (10, 12, 1)
    assert folder(tmp_path, size=16).shape == (16, 16, 1)


def test_photos_of_all_different_sizes_are_fitted_into_the_middle_one(tmp_path):
    for number in range(9):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", size=(3000 + number, 2000))
    assert folder(tmp_path).shape == (256, 170, 1)


def test_one_picture_in_colour_gives_all_three_channels(tmp_path):
    two_classes(tmp_path)
    for path in sorted(tmp_path.rglob("*.png")):  # grey, though stored in colours
        Image.open(path).convert("RGB").save(path)
    assert folder(tmp_path).shape == (8, 8, 1)
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "cat" / "red.png")
    data = folder(tmp_path)
    assert data.shape == (8, 8, 3) == data.train().x.shape[1:]


# Refused


def test_a_path_that_is_not_a_folder(tmp_path):
    refused("there is no file or folder", "nowhere", place=tmp_path / "nowhere")
    write(tmp_path / "one.png")
    refused("is not a folder", place=tmp_path / "one.png")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], ["no readable pictures", "sub-folder"]),
        (["1.png", "2.png"], ["has pictures but no sub-folders"]),
        (["cat/notes.txt"], ["no readable pictures", "notes.txt"]),
        (["cat/1.png", "cat/2.png", "cat/3.png"], ["1 class", "'cat'"]),
        (["train/1.png", "test1/2.png"], ["not in sub-folders for their classes: train/1.png;"]),
        (["train/1.png", "train/2.png"], ["not in sub-folders", "train/1.png, train/2.png;"]),
        (["train/train/1.png", "val/a/2.png"], ["not in sub-folders", ": train/train/1.png;"]),
        (["train/preview.png", "train/a/1.png", "val/a/2.png"], [": train/preview.png;"]),
    ],
)
def test_a_folder_without_classes(tmp_path, files, words):
    for number, name in enumerate(files):
        write(tmp_path / name, number + 10)
        if name.endswith("txt"):
            (tmp_path / name).write_text("about")
    refused(*words, place=tmp_path)


def test_a_class_with_one_picture_or_none(tmp_path):
    two_classes(tmp_path)
    write(tmp_path / "ant" / "1.png", 77)
    refused("'ant'", "1 training image", place=tmp_path)
    write(tmp_path / "ant" / "2.png", 78)
    refused("'ant'", "1 training image", "set aside to test on, so 3 or more", place=tmp_path)
    (tmp_path / "ant" / "2.png").unlink()
    (tmp_path / "ant" / "1.png").unlink()
    refused("'ant'", "no training image", place=tmp_path)


def test_a_class_missing_from_one_part_is_refused(tmp_path):
    two_classes(tmp_path / "train", 5)
    two_classes(tmp_path / "test", 5)
    write(tmp_path / "test" / "ant" / "1.png")
    refused("'ant'", "no training images", place=tmp_path)
    for number in range(3):
        write(tmp_path / "train" / "ant" / f"{number}.png", number)
    (tmp_path / "test" / "ant" / "1.png").unlink()
    refused("'ant'", "no test images", place=tmp_path)


@pytest.mark.parametrize("content", [b"", b"no picture", "cut", b"PK\x03\x04 an archive"])
def test_an_unreadable_picture_is_named(tmp_path, content):
    place = two_classes(tmp_path)
    whole = png(np.random.default_rng(0).integers(0, 255, (20, 20), np.uint8))
    (place / "cat" / "bad.png").write_bytes(whole[:200] if content == "cut" else content)
    refused("cat/bad.png", "cannot be read", place=place)
    unreadable = []
    data = folder(place, unreadable=unreadable)
    assert [line.split()[0] for line in unreadable] == ["cat/bad.png"]
    check(data)


def test_unsupported_pictures_are_not_skipped_silently(tmp_path):
    place = two_classes(tmp_path)
    (place / "cat" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    refused("cat/IMG_1.HEIC", "cannot be read", place=place)


def test_a_decompression_bomb_is_named(tmp_path):
    place = two_classes(tmp_path)
    Image.new("1", (9000, 9000)).save(place / "cat" / "bomb.png")  # 10 kB for 81 megapixels
    refused("cat/bomb.png", "64,000,000 pixels", place=place)


def test_links_within_the_folder_are_followed(tmp_path):
    place = two_classes(tmp_path / "data")
    (place / "cat" / "link.png").symlink_to(place / "dog" / "3.png")
    assert len(folder(place).train()) + len(folder(place).test()) == 41
    (tmp_path / "link").symlink_to(place)
    assert folder(tmp_path / "link").digest == folder(place).digest


@pytest.mark.parametrize(
    ("link", "target"),
    [("cat/out.png", "../../other/cat/1.png"), ("bird", "../other/cat"), ("cat/up", "../..")],
)
def test_a_link_out_of_the_folder_is_named(tmp_path, link, target):
    two_classes(tmp_path / "other")
    place = two_classes(tmp_path / "data")
    (place / link).symlink_to(target)
    refused(link, "leads out of the folder", place=place)


@pytest.mark.parametrize(
    ("links", "named"),
    [
        ({"cat/loop": "."}, "cat/loop"),
        ({"cat/a": "../dog", "dog/b": "../cat"}, "circular"),
        ({"cat/self.png": "self.png"}, "cat/self.png"),
        ({"cat/gone.png": "nowhere.png"}, "cat/gone.png"),
    ],
)
def test_circular_and_broken_links_are_named(tmp_path, links, named):
    place = two_classes(tmp_path)
    for link, target in links.items():
        (place / link).symlink_to(target)
    with pytest.raises(UsageError, match=named):
        folder(place)


@pytest.mark.parametrize("change", ["other content", "damaged", "gone"])
def test_a_change_after_opening_is_noticed(tmp_path, change):
    place = two_classes(tmp_path)
    data = folder(place)
    for path in (place / "cat").iterdir():
        if change == "gone":
            path.unlink()
        else:
            path.write_bytes(b"damaged") if change == "damaged" else write(path, 240)
    with pytest.raises(UsageError, match=r"cat/\d+\.png (has changed|cannot be read)"):
        data.train()
    if change == "other content":
        assert folder(place).digest != data.digest


def test_a_folder_with_the_name_of_a_picture_is_skipped(tmp_path):
    place = two_classes(tmp_path)
    (place / "cat" / "1.png").unlink()
    (place / "cat" / "1.png").mkdir()
    assert len(folder(place).train()) + len(folder(place).test()) == 39
