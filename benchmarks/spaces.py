"""Search spaces side by side: the same minutes, seeds, images and settings, other networks.

    .venv/bin/python benchmarks/spaces.py [--seconds 690] [--seeds 3] FILE [EXPERIMENT ...]

The experiments are mnist, resnet and vgg by default. Each is searched alone, by this project's own
command, once for each seed, which is also that of the validation images. After each search a JSON
object is appended to FILE, on a line of its own. A search that is in FILE is not repeated, so the
same command resumes an interrupted comparison. Searches of other code are ignored and repeated.
Nine searches take 1 h 45 min. Then a table is printed: what the winners reach on fresh seeds, and
by how much each space is ahead of the first one, seed by seed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.bench import digest_of  # noqa: E402

EXPERIMENT = """
from dataclasses import replace

from experiments.{name} import experiment as whole

experiment = replace(whole, seed={seed}, timeout_seconds={seconds})
"""
SEARCH = """
import json
import sys
from pathlib import Path

from mnist_cnn import search
from mnist_cnn.report.confirmation_table import accuracy
from mnist_cnn.study.candidates import candidates

result = search("bench")
winner, *_ = candidates(result._study)
found = {
    "val_accuracy": accuracy(winner),
    "fresh_seeds": len(winner.scores),
    "configurations": result._study.tried(),
    "parameters": result.best_model().count_params(),
    "values": result.best_hyperparameters(),
}
Path(sys.argv[1]).write_text(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=690)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("file", type=Path)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    options = parser.parse_args()
    names = options.experiments or ["mnist", "resnet", "vgg"]
    code = digest_of("experiments", "search_spaces", "mnist_cnn")
    found = measured(options.file, options.seconds, code)
    for seed in range(options.seeds):
        for name in names:
            if (name, seed) in found:
                continue
            line = {"experiment": name, "seed": seed, "seconds": options.seconds, "subject": code}
            line |= search(name, seed, options.seconds)
            with options.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            found[name, seed] = line
            print(f"seed {seed}  {name}: {line['val_accuracy']:.4f}", flush=True)
    print(table(found, names, options.seeds))


def measured(file: Path, seconds: float, code: str) -> dict[tuple[str, int], dict]:
    """The searches in `file` of this length and of the current code, by experiment and seed."""
    text = file.read_text() if file.exists() else ""
    text = text[: text.rfind("\n") + 1]  # a kill may have torn the last line
    if file.exists():
        file.write_text(text)
    lines = map(json.loads, text.splitlines())
    same = [line for line in lines if (line["seconds"], line["subject"]) == (seconds, code)]
    return {(line["experiment"], line["seed"]): line for line in same}


def search(name: str, seed: int, seconds: float) -> dict[str, object]:
    """Search an experiment in a project of its own, and return what its winner is."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        for part in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / part, root / part)
        text = EXPERIMENT.format(name=name, seed=seed, seconds=seconds)
        (root / "experiments/bench.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", SEARCH, str(root / "found.json")],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        if done.returncode:
            sys.exit(f"the search of {name} with seed {seed} failed")
        found: dict[str, object] = json.loads((root / "found.json").read_text())
        return found


def table(found: dict[tuple[str, int], dict], names: list[str], seeds: int) -> str:
    """Each experiment's confirmed validation accuracy, and by how much it is ahead of the first."""
    lines = [
        f"| experiment | mean of {seeds} seeds | seed by seed | ahead of {names[0]}, points "
        "| configurations | parameters of the winners |",
        "|:--|--:|:--|:--|--:|:--|",
    ]
    for name in names:
        rows = [found[name, seed] for seed in range(seeds)]
        scores = [row["val_accuracy"] for row in rows]
        ahead = [
            100 * (score - found[names[0], seed]["val_accuracy"])
            for seed, score in enumerate(scores)
        ]
        lines.append(
            f"| {name} | {statistics.fmean(scores):.4f} | {', '.join(f'{s:.4f}' for s in scores)} "
            f"| {statistics.fmean(ahead):+.2f} ({', '.join(f'{a:+.2f}' for a in ahead)}) "
            f"| {statistics.median(row['configurations'] for row in rows):.0f} "
            f"| {', '.join(format(row['parameters'], ',') for row in rows)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
