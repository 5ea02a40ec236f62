"""This project, by its own command.

`whole` is the default experiment with the benchmark's seconds as its timeout: short trials, then
the best ones trained for longer on fresh seeds. `trials` leaves the latter out and keeps trying
until the end; `bare` also leaves out the configurations known to be good, with which it begins: its
first trials are random, as those of the peers.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.log import arguments, note
from mnist_cnn.tracking import journal

ROOT = Path(__file__).parent.parent.parent
EXPERIMENT = """
from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.experiment import Confirm

experiment = replace(
    mnist_experiment,
    seed={seed},
    {changes}
)
"""
TRIALS = "trials=100_000, timeout_seconds=None, confirm=Confirm(trials=0),"
CHANGES = {
    "whole": "timeout_seconds={seconds},",
    "trials": TRIALS,
    "bare": TRIALS + "baseline=(),",
}


def main() -> None:
    options = arguments(*CHANGES)
    root = Path(tempfile.mkdtemp())
    for folder in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / folder, root / folder)
    changes = CHANGES[options.method].format(seconds=options.seconds)
    text = EXPERIMENT.format(seed=options.seed, changes=changes)
    (root / "experiments/bench.py").write_text(text)
    command = [sys.executable, "-m", "mnist_cnn", "search", "bench"]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    offsets: dict[Path, int] = {}
    seen: set[str] = set()
    while process.poll() is None:
        follow(root, options.log, offsets, seen)
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    follow(root, options.log, offsets, seen)
    if process.returncode:
        sys.exit(process.returncode)
    signal.pause()  # it is done before its time; the benchmark ends this process at its own


def follow(root: Path, log: Path, offsets: dict[Path, int], seen: set[str]) -> None:
    """Copy new events from the journals of trials and confirmations to the log.

    Only validated epochs count. `seen` has their metrics, to the last digit, since a trial that
    continues another one repeats its epochs.
    """
    for folder in sorted(root.glob("mlruns/checkpoints/bench-*/*-*")):
        events, offsets[folder] = journal.read(folder, offsets.get(folder, 0))
        for event in events:
            if event["event"] != "metrics" or "val_accuracy" not in event["metrics"]:
                continue
            if (epoch := json.dumps(event["metrics"])) not in seen:
                seen.add(epoch)
                _, number, *_ = folder.name.split("-")  # a confirmation belongs to its trial
                note(log, number, event["metrics"]["val_accuracy"], event["time"] / 1000)


if __name__ == "__main__":
    main()
