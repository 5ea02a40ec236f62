"""The trials an hour of several numbers of workers, on this machine's processor or GPU.

    .venv/bin/python benchmarks/workers.py [--workers 1 2 4] [--seconds 120] [--epochs 8]

For each number of workers the real command searches experiments/mnist.py, without baselines,
screening and confirmation, from the same seed. Its trials of --epochs short epochs are counted from
the start of the first one on, in epochs, so that a trial that the end interrupts counts for what it
did. Building and compiling the models is part of the time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mnist_cnn.tracking import journal  # noqa: E402
from mnist_cnn.workers import machine  # noqa: E402

EXPERIMENT = """
from dataclasses import replace

import optuna

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.experiment import Confirm

experiment = replace(
    mnist_experiment,
    trials=100_000,
    epochs={epochs},
    patience={epochs},
    timeout_seconds={seconds},
    sampler=optuna.samplers.RandomSampler,
    baseline=(),
    screen=None,
    confirm=Confirm(trials=0),
    precision={precision!r},
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, machine.default_workers()])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--precision", help="a Keras dtype policy; by default this project's")
    options = parser.parse_args()
    text = EXPERIMENT.format(**vars(options))
    print("| workers | trials an hour | beside the first line | epochs | failed trials |")
    print("|--:|--:|--:|--:|--:|")
    first = 0.0
    for workers in options.workers:
        epochs, seconds, failed = search(text, workers)
        rate = epochs / options.epochs / seconds * 3600
        first = first or rate
        ratio = f"{rate / first:.1f}" if first else "-"
        print(f"| {workers} | {rate:.0f} | {ratio} | {epochs} | {failed} |", flush=True)


def search(text: str, workers: int) -> tuple[int, float, int]:
    """Search; return the trained epochs, their seconds, and the failed trials."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / name, root / name)
        (root / "experiments/workers.py").write_text(text)
        command = [sys.executable, "-m", "mnist_cnn", "search", "workers"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        subprocess.run(
            [*command, "--workers", str(workers)],
            cwd=root,
            env=environment,
            stdout=sys.stderr,
        )
        folders = list(root.glob("mlruns/checkpoints/workers-1/trial-*"))
        events = [event for folder in folders for event in journal.read(folder)[0]]
    if not events:
        sys.exit(f"no trial has begun with {workers} workers; see the output of the search")
    times = [event["time"] / 1000 for event in events]
    epochs = sum(event["event"] == "metrics" for event in events)
    failed = sum(event["event"] == "end" and event["status"] == "FAILED" for event in events)
    return epochs, max(times) - min(times), failed


if __name__ == "__main__":
    main()
