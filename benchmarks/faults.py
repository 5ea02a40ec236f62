"""The losses of a search to faults, its memory, and the gain from a second worker.

    .venv/bin/python benchmarks/faults.py table      # runs the fault tests: eight minutes
    .venv/bin/python benchmarks/faults.py memory     # 200 trials: ten minutes; docs/memory.png
    .venv/bin/python benchmarks/faults.py workers    # alternating, on an otherwise idle machine

Each prints a table in Markdown. `workers --pairs 1` may be repeated; it takes a minute and a half.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the tests' helpers import Keras

from mnist_cnn.tracking import journal  # noqa: E402
from mnist_cnn.workers.machine import memory_of  # noqa: E402

TESTS = tuple(f"tests/system/test_{name}.py" for name in ("faults", "faults_study", "ray"))
COLUMNS = ("fault", "times", "lost_trials", "lost_metrics", "stuck_runs", "recovery")

FEW_IMAGES = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Confirm

experiment = replace(
    smoke, trials=200, timeout_seconds=None, confirm=Confirm(trials=0), epoch_images=1000
)
"""

# One network again and again, on another seed each time, and none of them pruned.
SAME = """
import optuna
from dataclasses import replace
from experiments.mnist import experiment as mnist
from mnist_cnn.experiment import Confirm

experiment = replace(
    mnist, trials={trials}, baseline=[mnist.baseline[1]] * {trials}, confirm=Confirm(trials=0),
    pruner=optuna.pruners.NopPruner, timeout_seconds=None, epochs={epochs},
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("table").set_defaults(call=lambda options: table())
    verb = verbs.add_parser("memory")
    verb.add_argument("--picture", type=Path, default=ROOT / "docs/memory.png")
    verb.set_defaults(call=lambda options: memory(options.picture))
    verb = verbs.add_parser("workers")
    verb.add_argument("--pairs", type=int, default=3)
    verb.add_argument("--trials", type=int, default=6)
    verb.add_argument("--epochs", type=int, default=3)
    verb.set_defaults(call=lambda options: workers(options.pairs, options.trials, options.epochs))
    options = parser.parse_args()
    options.call(options)


def table() -> None:
    """Run the tests and print what each noted."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        command = ["-m", "pytest", "-m", "slow", *TESTS, "--junitxml", file.name]
        command += ["-o", "junit_family=xunit1"]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
        cases = list(ElementTree.parse(file.name).iter("testcase"))
    print(f"\n| {' | '.join(COLUMNS).replace('_', ' ')} |\n|{'---|' * len(COLUMNS)}")
    for case in cases:
        facts = {item.get("name"): item.get("value") for item in case.iter("property")}
        if facts:
            print(f"| {' | '.join(facts.get(name) or '' for name in COLUMNS)} |")
    sys.exit(done.returncode)


def memory(picture: Path) -> None:
    """The resident memory of a search of 200 trials and of its workers, by finished trials."""
    with tempfile.TemporaryDirectory() as folder:
        search = start(Path(folder), FEW_IMAGES, 2)
        samples = []
        while search.process.poll() is None:
            done = sum(event["event"] == "end" for event in search.events())
            pids = [search.process.pid, *search.workers()]
            samples.append((done, [memory_of(pid) / 2**20 for pid in pids]))
            time.sleep(1)
        code, _, err = search.finish()
    assert code == 0, err
    draw(samples, picture)
    print("| trials done | search process, MiB | each worker, MiB |\n|---|---|---|")
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        done, (own, *others) = next(s for s in samples if s[0] >= share * 200 and len(s[1]) > 2)
        print(f"| {done} | {own:.0f} | {', '.join(f'{each:.0f}' for each in others)} |")


def draw(samples: list[tuple[int, list[float]]], picture: Path) -> None:
    from mnist_cnn.charts.style import BLUE, ORANGE, label_axes, new_figure, save

    figure, axes = new_figure("Memory of a search with two workers", height=4)
    names = {"search process": (BLUE, slice(0, 1)), "workers": (ORANGE, slice(1, None))}
    for name, (color, part) in names.items():
        points = [(done, mib) for done, all_mib in samples for mib in all_mib[part]]
        axes.plot(*zip(*points, strict=True), ".", color=color, markersize=4, label=name)
    label_axes(axes, "trials that ended", "resident memory (MiB)")
    axes.set_ylim(bottom=0)
    axes.legend()
    save(figure, picture)


def workers(pairs: int, trials: int, epochs: int) -> None:
    """Trials in an hour, from the start of the first one to the end of the last."""
    print("| pair | WORKERS=1, trials in an hour | WORKERS=2 | ratio |\n|---|---|---|---|")
    ratios = []
    for pair in range(pairs):
        # Which one comes first alternates as well.
        speeds = {n: speed(n, trials, epochs) for n in ((1, 2) if pair % 2 == 0 else (2, 1))}
        ratios.append(speeds[2] / speeds[1])
        print(f"| {pair + 1} | {speeds[1]:.0f} | {speeds[2]:.0f} | {ratios[-1]:.2f} |", flush=True)
    if pairs > 1:
        mean, spread = statistics.mean(ratios), statistics.stdev(ratios)
        print(f"\nWORKERS=2 does {mean:.2f} times as many trials (standard deviation {spread:.2f})")


def speed(count: int, trials: int, epochs: int) -> float:
    """How many trials `count` workers finish in an hour."""
    with tempfile.TemporaryDirectory() as folder:
        text = SAME.format(trials=trials, epochs=epochs)
        search = start(Path(folder), text, count)
        code, _, err = search.finish(1000)
        assert code == 0, err
        runs = Path(folder).glob("mlruns/checkpoints/measured-1/trial-*")
        times = [[event["time"] for event in journal.read(run)[0]] for run in runs]
    seconds = (max(map(max, times)) - min(map(min, times))) / 1000
    return 3600 * trials / seconds


def start(root: Path, experiment: str, workers: int):  # type: ignore[no-untyped-def]
    """A search of the experiment with this text, in a project of its own."""
    from faults import Search, make_project

    make_project(root)
    (root / "experiments/measured.py").write_text(experiment)
    return Search(root, workers=workers, experiment="measured")


if __name__ == "__main__":
    main()
