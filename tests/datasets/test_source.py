"""The right source is found for each path; otherwise an error says what is valid."""

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from made_pictures import drawing, make_folder
from refusals import assert_refused
from test_idx import content as idx_content
from test_idx import write as write_idx
from test_table import lines, text

from mnist_cnn.datasets import open_dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8)
LABELS = np.arange(30) % 3


def write_npz(place):
    np.savez(place, x=PIXELS, y=LABELS)


def refused(path, *words):
    assert_refused(lambda: open_dataset(path), *words)


def test_a_folder_of_pictures(tmp_path):
    assert open_dataset(make_folder(tmp_path, 30)).class_names == ("circle", "cross", "square")


@pytest.mark.parametrize("wrapping", ["", "archive", "MNIST/raw"])
def test_a_folder_of_other_files(tmp_path, wrapping):
    def place(name):
        folder = tmp_path / name / wrapping
        folder.mkdir(parents=True)
        return folder

    write_idx(place("idx"))
    (place("csv") / "train.csv").write_text(text(lines()))
    write_npz(place("npz") / "digits.npz")
    folder = place("npy")
    np.save(folder / "x_train.npy", PIXELS)
    np.save(folder / "y_train.npy", LABELS)
    found = {name: open_dataset(tmp_path / name) for name in ("idx", "csv", "npz", "npy")}
    assert not wrapping or all(data.name == name for name, data in found.items())
    assert {name: data.shape for name, data in found.items()} == {
        "idx": (4, 5, 1),
        "csv": (4, 4, 1),
        "npz": (4, 4, 1),
        "npy": (4, 4, 1),
    }


@pytest.mark.parametrize("name", ["digits.csv", "digits.txt", "digits", "digits.CSV"])
def test_a_table_of_any_name(tmp_path, name):
    (tmp_path / name).write_text(text(lines()))
    assert open_dataset(tmp_path / name).shape == (4, 4, 1)


def test_files_are_recognised_by_content(tmp_path):
    write_npz(tmp_path / "digits.npz")
    (tmp_path / "digits.npz").rename(tmp_path / "digits.dat")
    assert open_dataset(tmp_path / "digits.dat").shape == (4, 4, 1)
    write_idx(tmp_path / "idx", form="{}-{}-idx{}-ubyte.gz")
    assert open_dataset(tmp_path / "idx" / "train-images-idx3-ubyte.gz").shape == (4, 5, 1)


def test_other_tables_beside_class_folders_are_ignored(tmp_path):
    make_folder(tmp_path, 30)
    (tmp_path / "counts.csv").write_text("class,count\ncircle,10\ncross,10\n")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xd8")
    assert open_dataset(tmp_path).shape == (32, 32, 1)


def write_arrays(place, prefix=""):
    for name, array in (("train-imgs", PIXELS), ("train-labels", LABELS)):
        np.savez(place / f"{prefix}{name}.npz", array)


def table_without_labels(place):
    (place / "kmnist_classmap.csv").write_text("index,codepoint,char\n0,U+304A,o\n1,U+304D,ki\n")


def list_of_classes(place):
    (place / "classes.csv").write_text("id,class\n0,circle\n1,cross\n2,square\n")


STRAYS = {
    "a table without labels": table_without_labels,
    "a list of classes": list_of_classes,
    "an array": lambda place: np.save(place / "features.npy", PIXELS),
    "a damaged .npz": lambda place: (place / "old.npz").write_bytes(b"PK"),
    "a damaged table": lambda place: (place / "old.csv").write_bytes(b"\xff\xd8"),
    "a picture": lambda place: (place / "preview.png").write_bytes(b""),
}
DATA = {
    "arrays": (write_arrays, (4, 4, 1)),
    "an .npz": (lambda place: write_npz(place / "digits.npz"), (4, 4, 1)),
    "classes": (lambda place: make_folder(place, 30), (32, 32, 1)),
}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS.keys())
@pytest.mark.parametrize(("write", "shape"), DATA.values(), ids=DATA.keys())
def test_a_stray_file_does_not_hide_the_data(tmp_path, write, shape, stray):
    write(tmp_path)
    for number in range(3):  # names that a list of classes seems to mean
        for place in tmp_path.glob("c*/"):
            drawing("circle", number).save(place / f"{number}.png")
    stray(tmp_path)
    assert open_dataset(tmp_path).shape == shape


def test_a_stray_table_does_not_hide_a_table_of_names(tmp_path):
    make_folder(tmp_path / "pictures", 30)
    rows = [f"{path.name},{path.parent.name}\n" for path in tmp_path.rglob("*/*/*.*")]
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(rows))
    list_of_classes(tmp_path)
    table_without_labels(tmp_path)
    data = open_dataset(tmp_path)
    assert data.shape == (32, 32, 1) and "classes.csv, kmnist_classmap.csv" in data.remarks[0]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (table_without_labels, ["no column `label`", "codepoint"]),
        (list_of_classes, ["row 2 of classes.csv", "is not in"]),
        (lambda place: np.save(place / "features.npy", PIXELS), ["features.npy", "numpy.savez"]),
        (lambda place: np.save(place / "x.npy", PIXELS), ["x.npy", "numpy.savez"]),
        (lambda place: (place / "a.npz").write_bytes(b"PK"), ["cannot read", "a.npz"]),
    ],
)
def test_the_error_for_a_stray_file_alone_says_what_it_lacks(tmp_path, write, words):
    write(tmp_path)
    refused(tmp_path, *words)


def test_several_data_sets_in_a_folder_are_refused(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name)
    refused(tmp_path, "several data sets: a.npz, b.npz", "give the path")
    write_arrays(tmp_path, "k49-")
    write_arrays(tmp_path, "kmnist-")
    refused(tmp_path, "several data sets", "k49-train-imgs", "kmnist-train-imgs")


def test_the_digest_changes_with_the_folder(tmp_path):
    place = make_folder(tmp_path, 30)
    before = open_dataset(place).digest
    assert open_dataset(place).digest == before
    next(place.rglob("*.png")).unlink()
    assert open_dataset(place).digest != before


def test_a_path_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "digits.npz")
    assert open_dataset("~/digits.npz").name == "digits"


def archive(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("cat/1.png", b"")
    else:
        with tarfile.open(fileobj=file, mode=kind) as packed:
            packed.addfile(tarfile.TarInfo("cat/1.png"))
    return file.getvalue()


FILES = {
    "a.zip": (archive("zip"), ["an archive; unpack it"]),
    "a.tar": (archive("w:"), ["an archive; unpack it"]),
    "a.tar.gz": (archive("w:gz"), ["compressed; unpack it"]),
    "a.tar.xz": (archive("w:xz"), ["unpack it"]),
    "a.csv.gz": (gzip.compress(b"label,a"), ["unpack it"]),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", ["an archive"]),
    "a.npy": (b"\x93NUMPY\x01\x00", ["numpy.savez"]),
    "a.parquet": (b"PAR1\x15\x04", ["Parquet", ".csv"]),
    "a.h5": (b"\x89HDF\r\n\x1a\n", ["HDF5", "numpy.savez"]),
    "a.png": (b"\x89PNG\r\n\x1a\n", ["one picture", "sub-folder"]),
    "a.bin": (bytes(range(256)), ["not a known kind of file", "sub-folder", ".csv", ".npz", "IDX"]),
    "a.npz": (b"", ["is empty"]),
    "b.npz": (archive("zip")[:20], ["cannot read"]),
    "notes.txt": (b"hello\n", ["no column `label`"]),
    "a-images.idx": (idx_content(PIXELS), ["IDX", "train-images-idx3-ubyte"]),
}


@pytest.mark.parametrize("name", FILES)
def test_the_error_for_another_file_says_what_to_do(tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name, *words)


def test_the_error_for_a_folder_names_its_files(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"PAR1")
    refused(tmp_path, "data/train.parquet", "sub-folder")


@pytest.mark.parametrize("files", [[], ["train.zip", "README.md"]])
def test_the_error_for_another_folder_says_what_is_valid(tmp_path, files):
    for name in files:
        (tmp_path / name).write_bytes(archive("zip"))
    refused(tmp_path, ", ".join(sorted(files)) or "nothing", "sub-folder", ".csv", ".npz", "IDX")


def test_a_path_that_is_neither_a_file_nor_a_folder(tmp_path):
    refused(tmp_path / "nowhere", "there is no file or folder", "nowhere")
    refused(f"{tmp_path}/a\0b", "there is no file or folder")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", "there is no file or folder", "loop")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "neither a file nor a folder")
    refused("/dev/zero", "neither a file nor a folder")
