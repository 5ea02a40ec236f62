"""What is known of data at a path: opened once, and again as soon as a file changes."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from made_pictures import make_folder
from projects import copy_project

from mnist_cnn import known_data
from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import experiment_id
from mnist_cnn.known_data import dataset_at, known_paths, stamp, warnings_at
from mnist_cnn.mlruns import NODE


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path / "shapes", 60)


@pytest.fixture
def opened(monkeypatch):
    """The paths that were opened, as a new process would open them."""
    paths, real = [], known_data.open_dataset

    def counted(path):
        paths.append(path)
        return real(path)

    monkeypatch.setattr(known_data, "open_dataset", counted)
    return paths


def forget():
    """As in a new process."""
    known_data._open.cache_clear()
    known_data._as_stamped.cache_clear()


@pytest.fixture(autouse=True)
def forgotten():
    forget()
    yield
    forget()


def test_another_process_opens_nothing_and_knows_the_same(place, opened):
    first = dataset_at(str(place))
    forget()
    again = dataset_at(str(place))
    assert opened == [str(place)]
    assert repr(again) == repr(first)
    assert again.train_images == len(first.train())
    assert known_paths() == [str(place)]


def test_images_are_read_when_they_are_wanted(place, opened):
    first = np.array(dataset_at(str(place)).train().x)
    forget()
    assert np.array_equal(dataset_at(str(place)).train().x, first)
    assert len(opened) == 2


@pytest.mark.parametrize("change", ["added", "removed", "replaced", "renamed"])
def test_a_change_is_seen(place, change):
    before, now = dataset_at(str(place)), stamp(str(place))
    file = sorted(place.rglob("*.png"))[0]
    if change == "added":
        file.with_name("new.png").write_bytes(sorted(place.rglob("*.png"))[1].read_bytes())
    elif change == "removed":
        file.unlink()
    elif change == "replaced":
        other = sorted(place.rglob("*.png"))[1].read_bytes()
        file.write_bytes(other)
    else:
        file.rename(file.with_name("renamed.png"))
    assert stamp(str(place)) != now
    same = dataset_at(str(place)).digest == before.digest
    assert same == (change == "renamed")  # the name of a picture does not matter


def test_a_file_that_is_only_touched_changes_nothing(place):
    before = dataset_at(str(place))
    os.utime(sorted(place.rglob("*.png"))[0], (1, 1))
    assert dataset_at(str(place)).digest == before.digest


def test_images_of_changed_files_are_refused(place):
    data = dataset_at(str(place))
    forget()
    later = dataset_at(str(place))
    sorted(place.rglob("*.png"))[0].unlink()
    forget()
    for each in (data, later):
        with pytest.raises(UsageError, match=r"has changed|is missing|cannot be read"):
            each.train()


def test_what_vanished_is_refused(place):
    dataset_at(str(place))
    place.rename(place.with_name("moved"))
    with pytest.raises(UsageError, match="there is no file or folder"):
        dataset_at(str(place))


def test_damaged_facts_are_made_again(place, opened):
    dataset_at(str(place))
    (file,) = (place.parent / "mlruns" / "data").glob("*.json")
    file.write_text("{")
    forget()
    dataset_at(str(place))
    assert len(opened) == 2 and known_paths() == [str(place)]


def test_facts_that_are_wanted_several_times_at_once_are_made_once(place, opened):
    """Threads stand for processes: the lock is on a file, and nothing else is shared."""
    barrier = Barrier(3)

    def facts(_):
        barrier.wait()
        forget()
        return dataset_at(str(place)).digest

    with ThreadPoolExecutor(3) as threads:
        for count in range(1, 6):
            assert len(set(threads.map(facts, range(3)))) == 1
            assert len(opened) == count
            os.utime(sorted(place.rglob("*.png"))[0])


def test_facts_that_cannot_be_written_are_an_error_of_one_line(place):
    (place.parent / "mlruns").mkdir()
    (place.parent / "mlruns" / "data").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot write to .*mlruns/data: "):
        dataset_at(str(place))


def test_what_is_odd_is_known(place):
    file = sorted(place.rglob("*.png"))[0]
    file.with_name("twice.png").write_bytes(file.read_bytes())
    assert any("more than once" in line for line in warnings_at(str(place)))


def test_beside_a_single_file_nothing_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=np.arange(640).reshape(40, 4, 4) % 251, y=np.arange(40) % 2)
    before = stamp(str(tmp_path / "own.npz"))
    (tmp_path / "other.txt").write_text("x")
    assert stamp(str(tmp_path / "own.npz")) == before


def test_beside_a_table_of_names_every_picture_counts(place):
    table = place / "table.csv"
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    table.write_text("image,label\n" + "".join(f"{f.name},{f.parent.name}\n" for f in files))
    before = stamp(str(table))
    files[0].write_bytes(files[0].read_bytes() + b"\0")
    assert stamp(str(table)) != before


def table_of(place):
    """A table beside pictures in the folder, as they are called there."""
    table = place.parent / "labels.csv"
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    table.write_text("image,label\n" + "".join(f"{f.name},{f.parent.name}\n" for f in files))
    return table


@pytest.mark.parametrize("given", ["labels.csv", ""])
def test_other_files_in_the_folder_of_a_table_do_not_count(place, given, opened):
    table = table_of(place)
    virtual = place.parent / "venv"
    (virtual / "bin").mkdir(parents=True)
    (virtual / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (virtual / "bin" / "python").symlink_to("/usr/bin/env")
    path = str(table.parent / given)
    before = dataset_at(path)
    for name in ("notes.txt", "mlruns/plot.png", "experiments/mine.py", "results/other.png"):
        (table.parent / name).parent.mkdir(exist_ok=True)
        (table.parent / name).write_text("x")
    forget()
    assert dataset_at(path).digest == before.digest and opened == [path]


def test_links_beside_a_table_that_gives_paths_are_not_followed(place):
    table = table_of(place)
    names = [path.relative_to(place.parent) for path in sorted(place.rglob("*")) if path.is_file()]
    rows = "".join(f"{name},{name.parent.name}\n" for name in names)
    table.write_text("image,label\n" + rows)
    (place.parent / "out").symlink_to("/usr")
    assert dataset_at(str(table)).shape == (32, 32, 1)


def test_a_table_that_is_added_to_a_folder_is_seen(place):
    table = table_of(place)
    before = stamp(str(table.parent))
    (table.parent / "test.csv").write_text("image,label\n")
    assert stamp(str(table.parent)) != before


@pytest.mark.parametrize("given", ["", "train-images-idx3-ubyte", "digits.npz"])
def test_only_files_with_arrays_count_in_their_folder(tmp_path, given):
    place = tmp_path / "data"
    place.mkdir()
    if given != "digits.npz":
        for name, array in (("images-idx3", np.zeros((8, 4, 4))), ("labels-idx1", np.arange(8))):
            header = [0, 0, 8, array.ndim, *b"".join(n.to_bytes(4) for n in array.shape)]
            content = bytes(header) + array.astype(np.uint8).tobytes()
            (place / f"train-{name}-ubyte").write_bytes(content)
    np.savez(place / "digits.npz", x=np.zeros((8, 4, 4)), y=np.arange(8) % 2)
    before = stamp(str(place / given))
    (place / "notes.txt").write_text("x")
    assert stamp(str(place / given)) == before


def test_a_node_of_a_cluster_needs_what_was_sent_and_not_the_files(place, project, monkeypatch):
    """The search sends what it keeps of data; on a node the path leads nowhere."""
    from mnist_cnn.training.data import kept_files, load_data

    shapes = experiment_id(None, place)
    here = load_data(shapes)
    sent = kept_files(shapes)
    assert len(sent) == 6 and all(path.is_file() for path in sent)
    node = project / "node"
    copy_project(node)
    for path in sent:
        copy = node / path.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shutil.rmtree(place)
    forget()
    load_data.cache_clear()
    monkeypatch.chdir(node)
    with pytest.raises(UsageError, match="shapes"):
        load_data(shapes)
    monkeypatch.setenv(NODE, "192.0.2.2")
    there = load_data(shapes)
    load_data.cache_clear()
    assert there.dataset.digest == here.dataset.digest
    assert np.array_equal(there.train.x, here.train.x)
    assert np.array_equal(there.validation.labels, here.validation.labels)
