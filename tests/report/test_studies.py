"""`mnist-cnn studies`: a row for each study, also while one is searched."""

import threading

from mnist_cnn.report import studies


def test_the_size_is_told_while_a_search_replaces_and_removes_files(tmp_path):
    (tmp_path / "trial-00000").mkdir()
    for number in range(100):
        (tmp_path / f"trial-00000/{number}.png").write_bytes(b"x" * 10)
    ended = threading.Event()

    def replace_files():
        while not ended.is_set():
            partly = tmp_path / "trial-00000/delivered.part.json"
            partly.write_text("{}")
            partly.replace(tmp_path / "trial-00000/delivered.json")
            (tmp_path / "trial-00001").mkdir()
            (tmp_path / "trial-00001").rmdir()

    thread = threading.Thread(target=replace_files)
    thread.start()
    try:
        assert all(1000 <= studies._bytes(tmp_path) <= 1004 for _ in range(200))
    finally:
        ended.set()
        thread.join()
