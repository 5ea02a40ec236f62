"""The journal: what was written stays, whoever is killed and whoever reads."""

import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mnist_cnn.tracking.journal import FILE_NAME, Journal, read


def events_of(folder):
    return [event["event"] for event in read(folder)[0]]


def test_events_come_back_in_order_with_their_fields_and_times(tmp_path):
    before = int(time.time() * 1000)
    journal = Journal(tmp_path / "study" / "trial")  # its folders are made
    journal.write("start", name="trial 0 · größer", tags={"kind": "trial"}, params={"a": 1.5})
    journal.metrics(1, {"loss": 0.25})
    events, _ = read(journal.folder)
    start, metrics = events
    times = [start.pop("time"), metrics.pop("time")]
    assert start == {
        "event": "start",
        "name": "trial 0 · größer",
        "tags": {"kind": "trial"},
        "params": {"a": 1.5},
    }
    assert metrics == {"event": "metrics", "step": 1, "metrics": {"loss": 0.25}, "stop": None}
    assert before <= times[0] <= times[1] <= time.time() * 1000


def test_a_text_of_many_lines_is_one_event(tmp_path):
    Journal(tmp_path).write("tags", tags={"note": "a\nb\r\nc\u2028d"})
    events, _ = read(tmp_path)
    assert [event["tags"] for event in events] == [{"note": "a\nb\r\nc\u2028d"}]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_metric_that_is_not_finite_comes_back(tmp_path, value):
    Journal(tmp_path).metrics(1, {"loss": value})
    assert repr(read(tmp_path)[0][0]["metrics"]["loss"]) == repr(value)


def test_an_event_that_the_disk_does_not_take_leaves_nothing_behind(tmp_path):
    journal = Journal(tmp_path)
    journal.write("start", name="a")
    size = (tmp_path / FILE_NAME).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))  # half of the line fits
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.metrics(1, {"loss": 0.5})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / FILE_NAME).stat().st_size == size
    assert journal.last["event"] == "start"
    journal.metrics(1, {"loss": 0.5})  # when there is room
    assert events_of(tmp_path) == ["start", "metrics"]


@pytest.mark.parametrize("bytes_left", [1, 20, -1])
def test_a_line_that_a_kill_tore_is_cut_off(tmp_path, bytes_left):
    journal = Journal(tmp_path)
    journal.write("start", name="a")
    whole = (tmp_path / FILE_NAME).stat().st_size
    journal.metrics(1, {"loss": 0.5})
    size = (tmp_path / FILE_NAME).stat().st_size
    os.truncate(tmp_path / FILE_NAME, whole + bytes_left if bytes_left > 0 else size - 1)

    assert read(tmp_path)[1] == whole  # a reader stops before it
    again = Journal(tmp_path)
    assert again.last["event"] == "start" and again.last_step == 0
    again.metrics(1, {"loss": 0.4})
    assert events_of(tmp_path) == ["start", "metrics"]
    assert read(tmp_path)[0][1]["metrics"] == {"loss": 0.4}


def test_a_journal_with_only_a_torn_line_starts_over(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b'{"event": "sta')
    journal = Journal(tmp_path)
    assert journal.last is None and not journal.ended
    journal.write("start", name="a")
    assert events_of(tmp_path) == ["start"]


def test_metrics_of_an_epoch_are_written_once(tmp_path):
    first = Journal(tmp_path)
    for step in (1, 2, 2):
        first.metrics(step, {"loss": 1 / step})
    again = Journal(tmp_path)
    assert again.last_step == 2
    for step in (1, 2, 3):  # a training that goes on tells its epochs from the first
        again.metrics(step, {"loss": 9.0})
    assert [(event["step"], event["metrics"]["loss"]) for event in read(tmp_path)[0]] == [
        (1, 1.0),
        (2, 0.5),
        (3, 9.0),
    ]


def test_reading_goes_on_from_an_offset(tmp_path):
    journal = Journal(tmp_path)
    journal.write("start", name="a")
    first, offset = read(tmp_path)
    assert read(tmp_path, offset) == ([], offset)
    journal.metrics(1, {"loss": 0.5})
    second, end = read(tmp_path, offset)
    assert [event["event"] for event in first + second] == ["start", "metrics"]
    assert read(tmp_path) == (first + second, end)
    assert end == (tmp_path / FILE_NAME).stat().st_size


def test_a_folder_without_a_journal_reads_as_empty(tmp_path):
    assert read(tmp_path / "nowhere") == ([], 0)
    assert not (tmp_path / "nowhere").exists()


def test_only_an_end_ends_a_journal(tmp_path):
    journal = Journal(tmp_path)
    for event, ended in [("start", False), ("pause", False), ("start", False), ("end", True)]:
        journal.write(event)
        assert journal.ended is ended
        assert Journal(tmp_path).ended is ended
        assert Journal(tmp_path).last["event"] == event


def test_readers_do_not_disturb_the_writer_of_a_journal(tmp_path):
    """The search process reads several times a second while its workers write."""
    writer = Journal(tmp_path)

    def write(count):
        for step in range(1, count + 1):
            writer.metrics(step, {"loss": 0.5})

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write, 300)
        while not writing.done():
            assert not Journal(tmp_path).ended
    assert [event["step"] for event in read(tmp_path)[0]] == list(range(1, 301))
