"""The cost of a search's images: the memory of its workers, images/s, and sets above the memory.

    .venv/bin/python benchmarks/images.py memory
    sudo .venv/bin/python benchmarks/images.py stream --gigabytes 8 --limit 4

`memory` reads MNIST's training batches in 1, 2 and 4 workers as trials do, and as those of earlier
versions did. `stream` makes images of random noise with a bright band for the class, and searches
on them in a cgroup (version 1) with less memory than they take.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).parent.parent
GROUPS = Path("/sys/fs/cgroup/memory")
SIDE, CLASSES = 64, 4
BATCHES, ROUNDS = 2000, 3
WAYS = {
    "floats": "floats in each worker, as before 0.4.0",
    "bytes": "bytes in memory",
    "file": "bytes, read from the file",
}

sys.path.insert(0, str(ROOT))


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True, dest="verb")
    verbs.add_parser("memory")
    verb = verbs.add_parser("stream")
    verb.add_argument("--gigabytes", type=float, default=8)
    verb.add_argument("--limit", type=float, default=4)
    options = parser.parse_args()
    if options.verb == "memory":
        memory()
    else:
        stream(options.gigabytes, options.limit)


def memory() -> None:
    """Print the memory and the speed of several workers, medians of a few rounds."""
    results: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for _ in range(
        ROUNDS
    ):  # the ways take turns, so that other work on the machine slows all of them
        for count in (1, 2, 4):
            for way in WAYS:
                results.setdefault((count, way), []).append(read_in_workers(count, way))
    print("| workers | images are | MB of all workers | images/s of all |\n|--:|---|--:|--:|")
    for (count, way), found in results.items():
        megabytes, speed = (median(values) for values in zip(*found, strict=True))
        print(f"| {count} | {WAYS[way]} | {megabytes:,.0f} | {speed:,.0f} |")


def read_in_workers(count: int, way: str) -> tuple[float, float]:
    """Return the megabytes and the images per second of all workers together."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / name, Path(folder) / name)
        context = multiprocessing.get_context("spawn")
        ready, found = context.Barrier(count), context.Queue()
        workers = [
            context.Process(target=worker, args=(folder, way, ready, found)) for _ in range(count)
        ]
        for each in workers:
            each.start()
        results = [found.get() for _ in workers]
        for each in workers:
            each.join()
    megabytes, speeds = zip(*results, strict=True)
    return sum(megabytes), sum(speeds)


def worker(folder: str, way: str, ready, found) -> None:
    """Read batches as a trial does, and send the memory and the images per second."""
    os.chdir(folder)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from mnist_cnn.experiment_id import ExperimentId
    from mnist_cnn.training import batches
    from mnist_cnn.training.data import load_data

    data = load_data(ExperimentId("mnist"))
    # Of float32, the same code makes what earlier versions had: arrays, and tensors of them.
    train, validation = data.in_memory if way == "floats" else (data.train, data.validation)
    if way == "file":
        batches.RESIDENT_BYTES = 0
    for _ in batches.evaluation_batches(validation):
        pass
    taken = iter(batches.training_batches(train, 256, 0, 0))
    next(taken)
    ready.wait()
    started = time.perf_counter()
    for _ in range(BATCHES):
        next(taken)
    speed = 256 * BATCHES / (time.perf_counter() - started)
    text = Path("/proc/self/smaps_rollup").read_text()
    # A page that several processes share counts for each of them in part.
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    ready.wait()
    found.put((int(line.split()[1]) / 1024, speed))


def stream(gigabytes: float, limit: float) -> None:
    """Search on made images in a cgroup, and print the time and the most memory."""
    group = GROUPS / f"mnist-cnn-images-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / name, root / name)
        make_images(root / "made", int(gigabytes * 2**30))
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text(str(int(limit * 2**30)))
            started = time.time()
            done = subprocess.run(
                [sys.executable, "-m", "mnist_cnn", "search", "--data", "made", "--trials", "2"],
                cwd=root,
                preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
                check=False,
            )
            seconds = time.time() - started
            most = int((group / "memory.max_usage_in_bytes").read_text())
        finally:
            remove_group(group)
        facts = [json.loads(path.read_text()) for path in root.glob("mlruns/data/*.json")]
    print(
        f"exit {done.returncode} after {seconds:.0f} s: {facts[0]['train_images']:,} training "
        f"images of {gigabytes:g} GB in a group of {limit:g} GB, of which it used "
        f"{most / 2**30:.2f}, page cache included"
    )


def remove_group(group: Path) -> None:
    """Remove a cgroup, once the last process of the search has left it."""
    for _ in range(100):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return


def make_images(folder: Path, size: int) -> None:
    """Write x.npy and y.npy: noise, with a bright band at the height of the class."""
    folder.mkdir()
    count = size // (SIDE * SIDE * 3)
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, count, dtype=np.int32)
    np.save(folder / "y.npy", labels)
    shape = (count, SIDE, SIDE, 3)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.uint8, shape)
    noise = random.integers(0, 128, (2048, SIDE, SIDE, 3), dtype=np.uint8)
    for start in range(0, count, 2048):
        own = labels[start : start + 2048]
        some = noise[: len(own)] ^ random.integers(0, 128, shape[1:], dtype=np.uint8)
        for label in range(CLASSES):
            some[own == label, label * 16 : label * 16 + 8] += 95
        x[start : start + 2048] = some
    x.flush()
    del x
    with (folder / "x.npy").open("rb") as file:  # its cached pages would count for this process
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
