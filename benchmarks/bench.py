"""This project beside what a user would pick instead: the same seconds, machine, data and space.

    make bench [SECONDS=300] [SEEDS=3]

Every method runs alone for SECONDS, one after the other, once for each seed, which is also that of
the validation split. A run's clock begins with its process, so imports are included. Written to
benchmarks/results/ after every run, for SECONDS=300: `table_300s.md`, `incumbent_300s.png`, and
`epochs_300s.csv` with every epoch. A run that is in the latter is not made again, so a benchmark of
hours may be interrupted; delete the file to begin anew. Runs of other code, locked packages or
processors are never mixed.
"""

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import signal
import statistics
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

from mnist_cnn.machine import processor  # noqa: E402

THRESHOLDS = (0.985, 0.99, 0.992, 0.993)
# What is shown as -> module of benchmarks.peers, its words.
METHODS = {
    "mnist-cnn": ("ours", "whole"),
    "mnist-cnn, trials only": ("ours", "trials"),
    "mnist-cnn, trials only, no baselines": ("ours", "bare"),
    "KerasTuner Hyperband": ("keras_tuner_search", "hyperband", "guide"),
    "KerasTuner BayesianOptimization": ("keras_tuner_search", "bayesian", "guide"),
    "KerasTuner RandomSearch": ("keras_tuner_search", "random", "guide"),
    "Optuna TPE, median": ("optuna_search", "median", "guide"),
    "Optuna TPE, SHA": ("optuna_search", "sha", "guide"),
    "Ray Tune ASHA, Optuna": ("ray_search", "asha", "guide"),
    "KerasTuner Hyperband, our settings": ("keras_tuner_search", "hyperband", "settings"),
    "KerasTuner BayesianOptimization, our settings": ("keras_tuner_search", "bayesian", "settings"),
    "KerasTuner RandomSearch, our settings": ("keras_tuner_search", "random", "settings"),
    "Optuna TPE, median, our settings": ("optuna_search", "median", "settings"),
    "Optuna TPE, SHA, our settings": ("optuna_search", "sha", "settings"),
    "Ray Tune ASHA, Optuna, our settings": ("ray_search", "asha", "settings"),
}
OUR_STYLES = ("-", "--", ":")
TICKS = (0.2, 0.3, 0.5, 0.7, 1, 2, 5, 10, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=METHODS, metavar="METHOD", default=METHODS)
    options = parser.parse_args()
    methods = {name: METHODS[name] for name in options.only}
    ray = [name for name, (module, *_) in methods.items() if module == "ray_search"]
    if ray and importlib.util.find_spec("ray") is None:
        print("Ray Tune is left out: type `.venv/bin/uv pip install -e '.[ray]'` to have it")
        for name in ray:
            del methods[name]
    RESULTS.mkdir(exist_ok=True)
    what = subject()
    rows = measured(options.seconds, what)
    done = {(name, seed) for name, seed, *_ in rows}
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
        rows += [(name, seed, *row) for row in found]
        best = max(accuracy for *_, accuracy in found)
        print(f"seed {seed}  {name}: {len(found) - 1} epochs, best {best:.4f}", flush=True)
        write(rows, options.seconds, what)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


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
        started = time.time()
        process = subprocess.Popen(
            [*command, "--seed", str(seed), "--seconds", str(seconds), "--log", str(log)],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": folder, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, errors = process.communicate(timeout=seconds)
            raise RunFailed(f"ended before its time:\n{errors[-2000:]}")
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        epochs = map(json.loads, log.read_text().splitlines())
        # Rounded, as Keras's accuracies are of float32: 4,960 of 5,000 would be less than 0.992.
        return [
            (0.0, "", 0.0),
            *((e["time"] - started, e["trial"], round(e["val_accuracy"], 4)) for e in epochs),
        ]


def epochs_file(seconds: float) -> Path:
    """Where the epochs of runs of so many seconds are kept."""
    return RESULTS / f"epochs_{seconds:g}s.csv"


def subject() -> str:
    """A digest of what is measured: the code, the locked packages, the processor."""
    files = [ROOT / "requirements.lock"]
    for folder in ("benchmarks/peers", "experiments", "mnist_cnn", "search_spaces"):
        files += sorted((ROOT / folder).rglob("*.py"))
    digest = hashlib.sha256(processor().encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def measured(seconds: float, what: str) -> list[tuple[str, int, float, str, float]]:
    """What an earlier, interrupted benchmark has left; ends the command if not of `what`."""
    if not epochs_file(seconds).exists():
        return []
    with epochs_file(seconds).open(newline="") as file:
        rows = list(csv.DictReader(file))
    if {row.get("subject") for row in rows} - {what}:
        sys.exit(
            f"{epochs_file(seconds).relative_to(ROOT)} is of other code, packages or another "
            "processor; delete it to begin anew, or go back to what it measured"
        )
    return [
        (
            row["method"],
            int(row["seed"]),
            float(row["seconds"]),
            row["trial"],
            float(row["val_accuracy"]),
        )
        for row in rows
    ]


def write(rows: list[tuple[str, int, float, str, float]], seconds: float, what: str) -> None:
    """Write all three results of what has been run so far, all of it of the subject `what`."""
    partly = epochs_file(seconds).with_suffix(".part")
    with partly.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "seed", "seconds", "trial", "val_accuracy", "subject"))
        writer.writerows((n, s, f"{t:.1f}", trial, f"{a:.4f}", what) for n, s, t, trial, a in rows)
    partly.replace(epochs_file(seconds))  # an interruption leaves the hours before it whole
    runs: dict[str, dict[int, list[tuple[float, str, float]]]] = defaultdict(dict)
    for name in METHODS:  # in their order, whatever the order in which they were run
        for row_name, seed, *row in rows:
            if row_name == name:
                runs[name].setdefault(seed, []).append(tuple(row))
    (RESULTS / f"table_{seconds:g}s.md").write_text(table(runs, seconds))
    plot(runs, seconds)


def table(runs, seconds: float) -> str:
    """Medians over the seeds, and how many of them passed each accuracy."""
    titles = [f"s to {100 * threshold:.1f} %" for threshold in THRESHOLDS]
    lines = [
        f"Each method alone for {seconds:.0f} s; medians over the seeds, in brackets how many of "
        "the seeds came so far if not all. An epoch is 12,500 images here and a whole pass in the "
        "others; the best is that of all epochs.",
        "",
        f"| method | seeds | trials | epochs | best validation accuracy | {' | '.join(titles)} |",
        "|---" * (5 + len(titles)) + "|",
    ]
    for name, seeds in runs.items():
        epochs = statistics.median(len(rows) - 1 for rows in seeds.values())
        trials = statistics.median(
            len({trial for _, trial, _ in rows} - {""}) for rows in seeds.values()
        )
        best = [max(accuracy for *_, accuracy in rows) for rows in seeds.values()]
        spread = f" ({min(best):.4f} to {max(best):.4f})" if len(best) > 1 else ""
        cells = [first_time(seeds, threshold, seconds) for threshold in THRESHOLDS]
        lines.append(
            f"| {name} | {len(seeds)} | {trials:.0f} | {epochs:.0f} "
            f"| {statistics.median(best):.4f}{spread} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def first_time(seeds, threshold: float, seconds: float) -> str:
    """The median over all seeds of the seconds to `threshold`, infinite where it never came."""
    times = [
        min((when for when, _, accuracy in rows if accuracy >= threshold), default=float("inf"))
        for rows in seeds.values()
    ]
    came = sum(time < float("inf") for time in times)
    if not came:
        return "-"
    middle = statistics.median(times)
    text = f"{middle:.0f}" if middle < float("inf") else f"> {seconds:.0f}"
    return text if came == len(times) else f"{text} ({came} of {len(times)})"


def plot(runs, seconds: float) -> None:
    """The incumbent's validation error against time: median and range over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    grid = np.linspace(0, seconds, 400)
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for name, seeds in runs.items():
        curves = np.array([incumbent(rows, grid) for rows in seeds.values()])
        place = list(METHODS).index(name)
        ours = name.startswith("mnist-cnn")
        (line,) = axes.plot(
            grid,
            np.median(curves, axis=0),
            OUR_STYLES[place] if ours else "--" if METHODS[name][-1] == "settings" else "-",
            color="black" if ours else f"C{(place - len(OUR_STYLES)) % 6}",
            linewidth=2.5 if ours else 1.2,
            label=name,
        )
        low, high = curves.min(axis=0), curves.max(axis=0)
        axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set(
        yscale="log",
        xlabel="seconds since the start of the process",
        ylabel="validation error of the incumbent, %",
        title="Best model so far: median and range over the seeds",
        ylim=(0.2, 20),
    )
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(RESULTS / f"incumbent_{seconds:g}s.png", dpi=110)
    plt.close(figure)


def incumbent(rows, grid):
    """The least error in per cent at each time of `grid`; 100 before the first epoch."""
    import numpy as np

    errors = np.full(len(grid), 100.0)
    for when, _, accuracy in rows:
        errors[grid >= when] = np.minimum(errors[grid >= when], 100 * (1 - accuracy))
    return errors


if __name__ == "__main__":
    main()
