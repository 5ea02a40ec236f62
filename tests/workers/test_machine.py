"""What the machine and its processes have."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_cnn.workers.machine import (
    _cores_in,
    cores,
    default_workers,
    gpus,
    memory_of,
    worker_environments,
)

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


# The cores that a container may use


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, math.inf),
        ({}, math.inf),  # the root group
    ],
)
def test_a_group_of_processes_allows_so_many_cores(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert _cores_in(tmp_path) == expected


def test_a_process_has_no_more_cores_than_its_group_allows():
    parent = Path("/sys/fs/cgroup/cpu")  # of version 1
    limit = ("cpu.cfs_quota_us", "100000")
    if not parent.is_dir():
        parent, limit = Path("/sys/fs/cgroup"), ("cpu.max", "100000 100000")
    group = parent / f"mnist-cnn-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit[0]).write_text(limit[1])
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no group of processes with limited cores can be made here: {error}")
    ask = (
        "from pathlib import Path; from mnist_cnn.workers.machine import cores; "
        f"Path('{group}/cgroup.procs').write_text('0'); print(cores())"
    )
    try:
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    finally:
        group.rmdir()
    assert (done.stdout, done.stderr) == ("1\n", "")


# The GPUs that CUDA shows


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0,1", ["0", "1"]),
        ("0, 1", ["0", "1"]),
        ("3", ["3"]),
        ("GPU-8932f937,GPU-1c2d", ["GPU-8932f937", "GPU-1c2d"]),
        ("MIG-GPU-8932f937/1/0", ["MIG-GPU-8932f937/1/0"]),
        ("0,-1,1", ["0"]),
        ("0,,1", ["0"]),
        ("1,none,0", ["1"]),
    ],
)
def test_each_worker_gets_a_gpu_that_cuda_shows(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == default_workers() == len(names)
    given = [each["CUDA_VISIBLE_DEVICES"] for each in worker_environments(len(names) + 1)]
    assert given == [*names, names[0]]


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles", "none", "-1,0"])
def test_a_machine_whose_gpus_are_hidden_has_none(monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == 0
    assert default_workers() == min(cores(), 4)
    assert "CUDA_VISIBLE_DEVICES" not in worker_environments(1)[0]
