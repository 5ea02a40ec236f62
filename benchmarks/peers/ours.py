"""This project, by its own command.

The experiment is the default one without what a peer does not have: no configurations known to be
good are enqueued (the first trial has the space's defaults), and the confirmation is left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.recipe import arguments, note
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
    baseline={{}},
    confirm=Confirm(trials=0),
    {recipe}
)
"""
# With Keras's own settings, to see what the search alone is worth.
RECIPES = {"settings": "", "guide": 'precision="float32",\n    jit_compile=True,'}


def main() -> None:
    options = arguments("search")
    root = Path(tempfile.mkdtemp())
    for folder in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / folder, root / folder)
    text = EXPERIMENT.format(seed=options.seed, recipe=RECIPES[options.recipe])
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
