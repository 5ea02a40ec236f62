"""This project compared with its alternatives: the same seconds, machine, data and space.

    make bench [SECONDS=300] [SEEDS=3]

Every method runs alone for SECONDS, one after the other, once for each seed, which is also that of
the validation split. A run's clock begins with its process, so imports are included. Written to
benchmarks/results/ after every run, for SECONDS=300: `table_300s.md`, `incumbent_300s.png`, and
`epochs_300s.csv` with every epoch. A run that is in the latter is not repeated, so a benchmark of
hours may be interrupted. Runs of other code, locked packages or processors stay in it, but are
ignored and repeated. A peer's code is its module, search_spaces and what both use of mnist_cnn.
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
sys.path.insert(0, str(ROOT))

from benchmarks.comparison import plot, ratios, table  # noqa: E402
from benchmarks.peers import METHODS  # noqa: E402
from mnist_cnn.workers.machine import processor  # noqa: E402

# What the peers use of this project, besides the search spaces: the same images and batches.
USED_BY_PEERS = (
    "datasets",
    "training/backend.py",
    "training/batches.py",
    "hyperparameters.py",
    "optuna_internals.py",
    "workers/machine.py",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=METHODS, metavar="METHOD", default=METHODS)
    options = parser.parse_args()
    methods = {name: METHODS[name] for name in options.only}
    ray = [name for name, (module, *_) in methods.items() if module == "ray_search"]
    if ray and not imports_ray_tune():
        command = ".venv/bin/uv pip install --python .venv -e '.[ray]'"
        print(f"Ray Tune is left out: type `{command}` to include it")
        for name in ray:
            del methods[name]
    RESULTS.mkdir(exist_ok=True)
    subjects = {name: subject(module) for name, (module, *_) in METHODS.items()}
    rows = measured(options.seconds)
    done = {(name, seed) for name, seed, *_, what in rows if what == subjects[name]}
    todo = [
        (name, seed)
        for seed in range(options.seeds)
        for name in methods
        if (name, seed) not in done
    ]
    hours = len(todo) * options.seconds / 3600
    print(f"{len(done)} runs are there, {len(todo)} to make: {hours:.1f} hours", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run never outlives this process
    failed = []
    for name, seed in todo:
        try:
            found = run(methods[name], seed, options.seconds)
        except RunFailed as error:
            failed.append(name)
            print(f"seed {seed}  {name}: {error}", flush=True)
            continue
        rows += [(name, seed, *row, subjects[name]) for row in found]
        best = max(accuracy for *_, accuracy in found)
        print(f"seed {seed}  {name}: {len(found) - 1} epochs, best {best:.4f}", flush=True)
        write(rows, options.seconds, subjects)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def imports_ray_tune() -> bool:
    """Whether Ray is installed with what Ray Tune needs."""
    command = [sys.executable, "-c", "from ray import tune"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


class RunFailed(Exception):
    """A method ended before its time."""


def run(method: tuple[str, ...], seed: int, seconds: float) -> list[tuple[float, str, float]]:
    """Run one method; each epoch's (seconds since the start, trial, validation accuracy).

    The first row is the start: no trial, no accuracy. Raises RunFailed.
    """
    module, *words = method
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log.jsonl"
        log.touch()
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", *words]
        # To a file, not through a pipe, which would stay open while a child of it lives.
        errors = Path(folder) / "errors.txt"
        started = time.time()
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [*command, "--seed", str(seed), "--seconds", str(seconds), "--log", str(log)],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": folder, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            process.wait(seconds)
            raise RunFailed(f"ended before its time:\n{errors.read_text()[-2000:]}")
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        epochs = map(json.loads, log.read_text().splitlines())
        # Rounded, as Keras's accuracies are of float32: 4,960 of 5,000 would be less than 0.992.
        return [
            (0.0, "", 0.0),
            *((e["time"] - started, e["trial"], round(e["val_accuracy"], 4)) for e in epochs),
        ]


def epochs_file(seconds: float) -> Path:
    """The file with the epochs of runs of this length."""
    return RESULTS / f"epochs_{seconds:g}s.csv"


def subject(module: str) -> str:
    """A digest of the code that a method's module runs."""
    own = (f"{module}.py", "log.py", "recipe.py")
    places = [*(f"benchmarks/peers/{name}" for name in own), "search_spaces"]
    if module == "ours":
        return digest_of(*places, "experiments", "mnist_cnn")
    used = (f"mnist_cnn/{name}" for name in USED_BY_PEERS)
    return digest_of(*places, *used, settings=settings())


def settings() -> str:
    """The settings of experiments/mnist.py that peers share. Its other fields may change."""
    from experiments.mnist import experiment

    fields = ("batch_size", "validation_fraction", "precision", "jit_compile")
    return ", ".join(f"{name}={getattr(experiment, name)}" for name in fields)


def digest_of(*places: str, settings: str = "") -> str:
    """A digest of code, the locked packages and the processor.

    Args:
        places: Folders and files of this repository.
        settings: What else the outcome depends on.
    """
    digest = hashlib.sha256(f"{processor()}{settings}".encode())
    for file in [ROOT / "requirements.lock", *sorted(f for p in places for f in code(p))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def code(place: str) -> list[Path]:
    """The Python files below a folder of this repository, or a single one."""
    path = ROOT / place
    if path.suffix == ".py":
        return [path] if path.exists() else []
    return list(path.rglob("*.py"))


# A method's name, the seed, seconds since the start, the trial, validation accuracy, `subject`.
Row = tuple[str, int, float, str, float, str]


def measured(seconds: float) -> list[Row]:
    """The rows of earlier benchmarks of this length."""
    if not epochs_file(seconds).exists():
        return []
    with epochs_file(seconds).open(newline="") as file:
        return [
            (
                row["method"],
                int(row["seed"]),
                float(row["seconds"]),
                row["trial"],
                float(row["val_accuracy"]),
                row["subject"],
            )
            for row in csv.DictReader(file)
        ]


def write(rows: list[Row], seconds: float, subjects: dict[str, str]) -> None:
    """Write all rows, and the table and the plot of those whose method has today's subject."""
    partly = epochs_file(seconds).with_suffix(".part")
    with partly.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "seed", "seconds", "trial", "val_accuracy", "subject"))
        writer.writerows(
            (n, s, f"{t:.1f}", trial, f"{a:.4f}", of) for n, s, t, trial, a, of in rows
        )
    partly.replace(epochs_file(seconds))  # an interruption keeps the hours before it
    runs: dict[str, dict[int, list[tuple[float, str, float]]]] = defaultdict(dict)
    for name in METHODS:  # in their order, whatever the order in which they were run
        for row_name, seed, *row, what in rows:
            if row_name == name and what == subjects[name]:
                runs[name].setdefault(seed, []).append(tuple(row))
    tables = "\n".join((table(runs, seconds), *ratios(runs, seconds)))
    (RESULTS / f"table_{seconds:g}s.md").write_text(tables)
    plot(runs, seconds, RESULTS / f"incumbent_{seconds:g}s.png")


if __name__ == "__main__":
    main()
