"""This project, by its own command.

The experiment is the default one for as long as the peers search: without its confirmation, which
trains the best configurations for longer. `bare` also leaves out the configurations known to be
good, with which it begins: its first trials are random, as those of the peers.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.log import arguments, note
from mnist_cnn import journal

ROOT = Path(__file__).parent.parent.parent
EXPERIMENT = """
from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.experiment import Confirm

experiment = replace(
    mnist_experiment,
    seed={seed},
    trials=100_000,
    timeout_seconds=None,
    confirm=Confirm(trials=0),
    {bare}
)
"""


def main() -> None:
    options = arguments("baselines", "bare")
    root = Path(tempfile.mkdtemp())
    for folder in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / folder, root / folder)
    bare = "baseline=()," if options.method == "bare" else ""
    text = EXPERIMENT.format(seed=options.seed, bare=bare)
    (root / "experiments/bench.py").write_text(text)
    command = [sys.executable, "-m", "mnist_cnn", "search", "--experiment", "bench"]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    offsets: dict[Path, int] = {}
    while process.poll() is None:
        follow(root, options.log, offsets)
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    sys.exit(process.returncode)


def follow(root: Path, log: Path, offsets: dict[Path, int]) -> None:
    """Copy what is new in the trials' journals to the log."""
    for folder in sorted(root.glob("mlruns/checkpoints/bench-*/trial-*")):
        events, offsets[folder] = journal.read(folder, offsets.get(folder, 0))
        for event in events:
            if event["event"] == "metrics":
                accuracy = event["metrics"]["val_accuracy"]
                note(log, folder.name, accuracy, event["time"] / 1000)


if __name__ == "__main__":
    main()
