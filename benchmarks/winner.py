"""Whether the default search finds better configurations than the baselines that it begins with.

    .venv/bin/python benchmarks/winner.py search [--seeds 5] [--minutes 11.5]
    .venv/bin/python benchmarks/winner.py judge [--seeds 10] [--first 0 --step 1]
    .venv/bin/python benchmarks/winner.py table

All is done on MNIST's training images; the test images are never read. 5,000 of them, always the
same, are set aside. `search` runs experiments/mnist.py on the other 55,000, once for each seed,
which is also that of the validation images. `judge` trains each winner and each baseline on all
55,000 as long as a trial lasts, on seeds that no search has used, and scores them on the 5,000.
Several may judge side by side, with the same --step and a --first of 0, 1, ... `table` pairs each
winner with the baseline whose mean is higher, seed by seed. It prints two intervals of the mean
difference: over the seeds, for these winners alone, and over the searches, for others as well.

Results are in benchmarks/results/winner/. Each subcommand continues where it was interrupted.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks/results/winner"
sys.path.insert(0, str(ROOT))

from mnist_cnn.workers.machine import threads_environment  # noqa: E402

FIRST_SEED = 1000  # those of searches are large, see `mnist_cnn.training.recipe.derived_seed`
EXPERIMENT = """
from dataclasses import replace

from benchmarks.winner import searched
from experiments.mnist import experiment as mnist_experiment

experiment = replace(
    mnist_experiment,
    dataset=searched,
    validation_fraction=1 / 11,
    seed={seed},
    timeout_seconds={seconds},
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("search")
    verb.add_argument("--seeds", type=int, default=5)
    verb.add_argument("--minutes", type=float, default=11.5)
    verb.set_defaults(call=lambda o: search(o.seeds, o.minutes))
    verb = verbs.add_parser("judge")
    verb.add_argument("--seeds", type=int, default=10)
    verb.add_argument("--first", type=int, default=0)
    verb.add_argument("--step", type=int, default=1)
    verb.set_defaults(call=lambda o: judge(o.seeds, o.first, o.step))
    verb = verbs.add_parser("table")
    verb.set_defaults(call=lambda o: table())
    options = parser.parse_args()
    options.call(options)


def searched():
    """MNIST without the images that are set aside, and without its test images."""
    from dataclasses import replace

    from mnist_cnn.datasets import mnist

    whole = mnist()
    return replace(
        whole,
        name="mnist-55000",
        digest=f"{whole.digest}-55000",
        train_images=None,
        train=lambda: parts()[0],
        test=lambda: parts()[1],
    )


def parts():
    """The 55,000 images to search on, and the 5,000 that are set aside."""
    from mnist_cnn.datasets import mnist, split

    return split(mnist().train(), fraction=1 / 12, seed=2027)


def search(seeds: int, minutes: float) -> None:
    """Search once for each seed, and write down who won and where the winner came from."""
    for seed in range(seeds):
        folder = FOLDER / f"search-{seed}"
        for name in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
        text = EXPERIMENT.format(seed=seed, seconds=60 * minutes)
        (folder / "experiments/winner.py").write_text(text)
        if (folder / "winner.json").exists():
            continue
        found = subprocess.run(
            [sys.executable, "-m", "mnist_cnn", "search", "winner", "--study", "winner-1"]
            if (folder / "mlruns/checkpoints/winner-1").exists()
            else [sys.executable, "-m", "mnist_cnn", "search", "winner"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        (folder / "output.txt").write_text(found.stdout)
        (best,) = [line for line in found.stdout.splitlines() if line.startswith("best of ")]
        values = json.loads((folder / "mlruns/checkpoints/winner-1/best_params.json").read_text())
        winner = {"seed": seed, "best": best, "values": values}
        (folder / "winner.json").write_text(json.dumps(winner, indent=1))
        print(f"seed {seed}: {best}", flush=True)


def configurations() -> dict[str, dict[str, object]]:
    """The baselines and the winners found so far, by name."""
    from experiments.mnist import experiment
    from mnist_cnn.project.plan import baselines

    found = {f"baseline {place}": values for place, values in enumerate(baselines(experiment))}
    for file in sorted(FOLDER.glob("search-*/winner.json")):
        winner = json.loads(file.read_text())
        found[f"winner {winner['seed']}"] = winner["values"]
    return found


def judge(seeds: int, first: int, step: int) -> None:
    """Append the score of each configuration on each seed to a file of this process."""
    os.environ.update(threads_environment(1), TF_CPP_MIN_LOG_LEVEL="3")
    import keras_tuner

    from benchmarks.curves import curve
    from experiments.mnist import experiment
    from mnist_cnn.training.data import Data

    data = Data(searched(), *parts())
    todo = [
        (name, values, seed)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for name, values in configurations().items()
    ]
    done = scores()
    for name, values, seed in todo[first::step]:
        if seed in done.get(name, {}):
            continue
        hp = keras_tuner.HyperParameters()
        hp.values.update(values)
        _, found = curve(hp, experiment.epochs, seed, data=data)
        line = {"configuration": name, "seed": seed, "score": found["val_accuracy"][-1]}
        with (FOLDER / f"scores-{first}-{step}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


def scores() -> dict[str, dict[int, float]]:
    """The scores so far, by configuration and seed."""
    found: dict[str, dict[int, float]] = {}
    for file in FOLDER.glob("scores-*.jsonl"):
        for line in map(json.loads, file.read_text().splitlines()):
            found.setdefault(line["configuration"], {})[line["seed"]] = line["score"]
    return found


def table() -> None:
    """Print each winner's mean beside that of the better baseline, and the pooled difference."""
    import numpy as np
    from scipy import stats

    found = scores()
    baselines = [name for name in found if name.startswith("baseline")]
    better = max(baselines, key=lambda name: statistics.fmean(found[name].values()))
    print(f"better baseline: {better}, {statistics.fmean(found[better].values()):.4%}")
    winners = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("search-*/winner.json"))]
    scores_of = [found.get(f"winner {winner['seed']}", {}) for winner in winners]
    seeds = sorted(set(found[better]).intersection(*scores_of))
    if len(winners) < 2 or len(seeds) < 2:
        sys.exit("there are not two winners yet with two common seeds; judge them first")
    theirs = 100 * np.array([found[better][seed] for seed in seeds])
    ours = 100 * np.array([[scores[seed] for seed in seeds] for scores in scores_of])
    print(f"{len(seeds)} seeds")
    print("| search | its winner, % | the baseline, % | difference, points | origin |")
    print("|--:|--:|--:|--:|---|")
    for winner, row in zip(winners, ours, strict=True):
        origin = "search" if "found by the search" in winner["best"] else "baseline"
        print(
            f"| {winner['seed']} | {row.mean():.3f} | {theirs.mean():.3f} "
            f"| {row.mean() - theirs.mean():+.3f} | {origin} |"
        )
    mean = (ours - theirs).mean()
    # The winners of a seed share their baseline's score, so a seed is one observation.
    over_seeds = stats.sem((ours - theirs).mean(axis=0)), len(seeds)
    # The searches share the mean of the baseline, whose own error comes in addition.
    error = np.hypot(stats.sem(ours.mean(axis=1)), stats.sem(theirs))
    over_searches = error, len(winners)
    for what, (error, count) in (("seeds", over_seeds), ("searches", over_searches)):
        half = stats.t.ppf(0.975, count - 1) * error
        print(
            f"mean {mean:+.3f} points, 95 % interval over {what} {mean - half:+.3f} to "
            f"{mean + half:+.3f}"
        )


if __name__ == "__main__":
    main()
