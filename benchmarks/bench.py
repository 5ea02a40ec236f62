"""This project beside what a user would pick instead: the same seconds, machine, data and space.

    make bench [SECONDS=300] [SEEDS=3]

Every method runs alone for SECONDS, one after the other, once for each seed. After each process's
start its clock runs, imports included. Written to benchmarks/results/ after every run: `table.md`,
`incumbent.png` and `epochs_300s.csv`, every epoch of every run of so many seconds. What is in it is
not run again, so a benchmark of hours may be interrupted; delete the file to begin anew.
"""

import argparse
import csv
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
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
THRESHOLDS = (0.985, 0.99, 0.992, 0.993)
# What is shown as -> module of benchmarks.peers, its words.
METHODS = {
    "mnist-cnn": ("ours", "baselines"),
    "mnist-cnn, no baselines": ("ours", "bare"),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="words that a method's name holds")
    options = parser.parse_args()
    methods = {
        name: method
        for name, method in METHODS.items()
        if not options.only or any(word in name for word in options.only)
    }
    if importlib.util.find_spec("ray") is None:
        print("Ray Tune is left out: it is not installed (pip install -e '.[ray]')")
        methods = {name: method for name, method in methods.items() if method[0] != "ray_search"}
    RESULTS.mkdir(exist_ok=True)
    rows = measured(options.seconds)
    done = {(name, seed) for name, seed, *_ in rows}
    if done:
        print(f"{len(done)} runs are there already, in {epochs_file(options.seconds)}", flush=True)
    for seed in range(options.seeds):
        for name, method in methods.items():
            if (name, seed) in done:
                continue
            found = run(method, seed, options.seconds)
            rows += [(name, seed, *row) for row in found]
            best = max((row[2] for row in found), default=float("nan"))
            print(f"seed {seed}  {name}: {len(found)} epochs, best {best:.4f}", flush=True)
            write(rows, options.seconds)


def run(method: tuple[str, ...], seed: int, seconds: float) -> list[tuple[float, str, float]]:
    """Run one method; each epoch's (seconds since the start, trial, validation accuracy)."""
    module, *words = method
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        log.touch()
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", *words]
        started = time.time()
        process = subprocess.Popen(
            [*command, "--seed", str(seed), "--log", str(log)],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": folder, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, errors = process.communicate(timeout=seconds)
            sys.exit(f"{' '.join(command)} ended before its time:\n{errors[-2000:]}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        epochs = map(json.loads, log.read_text().splitlines())
        return [(e["time"] - started, e["trial"], e["val_accuracy"]) for e in epochs]


def epochs_file(seconds: float) -> Path:
    """Where the epochs of runs of so many seconds are kept."""
    return RESULTS / f"epochs_{seconds:g}s.csv"


def measured(seconds: float) -> list[tuple[str, int, float, str, float]]:
    """What an earlier, interrupted benchmark has left."""
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
            )
            for row in csv.DictReader(file)
        ]


def write(rows: list[tuple[str, int, float, str, float]], seconds: float) -> None:
    """Write all three results of what has been run so far."""
    with epochs_file(seconds).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "seed", "seconds", "trial", "val_accuracy"))
        writer.writerows((n, s, f"{t:.1f}", trial, f"{a:.4f}") for n, s, t, trial, a in rows)
    runs: dict[str, dict[int, list[tuple[float, str, float]]]] = defaultdict(dict)
    for name in METHODS:  # in their order, whatever the order in which they were run
        for row_name, seed, *row in rows:
            if row_name == name:
                runs[name].setdefault(seed, []).append(tuple(row))
    (RESULTS / "table.md").write_text(table(runs, seconds))
    plot(runs, seconds)


def table(runs, seconds: float) -> str:
    """Medians over the seeds, and how many of them passed each accuracy."""
    titles = [f"s to {100 * threshold:.1f} %" for threshold in THRESHOLDS]
    lines = [
        f"Each method alone for {seconds:.0f} s; medians over the seeds, in brackets how many of "
        "the seeds came so far if not all.",
        "",
        f"| method | seeds | trials | epochs | best validation accuracy | {' | '.join(titles)} |",
        "|---" * (5 + len(titles)) + "|",
    ]
    for name, seeds in runs.items():
        trials = statistics.median(len({trial for _, trial, _ in rows}) for rows in seeds.values())
        epochs = statistics.median(len(rows) for rows in seeds.values())
        best = [max(accuracy for *_, accuracy in rows) for rows in seeds.values()]
        spread = f" ({min(best):.4f} to {max(best):.4f})" if len(best) > 1 else ""
        cells = [first_time(seeds, threshold) for threshold in THRESHOLDS]
        lines.append(
            f"| {name} | {len(seeds)} | {trials:.0f} | {epochs:.0f} "
            f"| {statistics.median(best):.4f}{spread} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def first_time(seeds, threshold: float) -> str:
    """The median of the seconds at which the seeds reached `threshold`."""
    times = [
        min(when for when, _, accuracy in rows if accuracy >= threshold)
        for rows in seeds.values()
        if any(accuracy >= threshold for *_, accuracy in rows)
    ]
    if not times:
        return "-"
    few = f" ({len(times)} of {len(seeds)})" if len(times) < len(seeds) else ""
    return f"{statistics.median(times):.0f}{few}"


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
        ours = name.startswith("mnist-cnn")
        (line,) = axes.plot(
            grid,
            np.median(curves, axis=0),
            "-" if METHODS[name][-1] in ("baselines", "guide") else "--",
            color="black" if ours else f"C{(list(METHODS).index(name) - 2) % 6}",
            linewidth=2.5 if ours else 1.2,
            label=name,
        )
        low, high = np.nanmin(curves, axis=0), np.nanmax(curves, axis=0)
        axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set(
        yscale="log",
        xlabel="seconds since the start of the process",
        ylabel="validation error of the incumbent, %",
        title="Best model so far: median and range over the seeds",
        ylim=(0.4, 20),
    )
    axes.set_yticks([0.5, 0.7, 1, 2, 5, 10, 20], ["0.5", "0.7", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(RESULTS / "incumbent.png", dpi=110)
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
