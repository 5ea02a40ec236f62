"""What the machine and its processes have."""

import os

import numpy as np

from mnist_cnn.workers.machine import memory_of

SIZE = 2**27


def test_the_memory_of_a_process_leaves_out_the_pages_of_files(tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, np.ones(SIZE, np.uint8))
    before = memory_of(os.getpid())
    mapped = np.load(file, mmap_mode="r")
    assert mapped.sum() == SIZE  # all its pages are in memory now
    assert memory_of(os.getpid()) - before < SIZE / 4
    own = np.ones(SIZE, np.uint8)
    assert memory_of(os.getpid()) - before > SIZE / 2
    assert len(own) == SIZE


def test_the_memory_of_a_process_that_is_gone_is_unknown():
    assert memory_of(2**30) == memory_of(None) == 0
