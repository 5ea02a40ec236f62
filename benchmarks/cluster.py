"""The throughput of one search process: trials a minute with 1 to 64 actors on a Ray cluster.

    .venv/bin/python benchmarks/cluster.py [--actors 1 4 16 64] [--seconds 40] [--sleep 2]

Training is a sleep, and the workers import no TensorFlow: this measures the search process, its
storage proxy and Ray, not training. Each trial takes the steps of a real one: it samples the
parameters of a small space through the proxy, reports each of four epochs, asks whether to prune,
and writes its journal and a checkpoint of 1 MB, which stream back. Optuna's storage is SQLite,
MLflow's too. All nodes are on this machine, so the workers compete with the search for its cores,
and the table says how busy all of them were.
"""

import argparse
import io
import math
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import psutil  # noqa: E402
from clusters import cluster_of  # noqa: E402
from optuna.trial import TrialState  # noqa: E402
from rich.console import Console  # noqa: E402

from mnist_cnn.experiment import Confirm, Maximize  # noqa: E402
from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.project.plan import Plan  # noqa: E402
from mnist_cnn.search_process.phases import Search  # noqa: E402
from mnist_cnn.search_process.request import Request  # noqa: E402
from mnist_cnn.study.opening import open_study  # noqa: E402
from mnist_cnn.study.proxy import storage_proxy  # noqa: E402
from mnist_cnn.training import tasks  # noqa: E402

PLAN = Plan(
    id=ExperimentId("sleeping"),
    objectives=(Maximize("val_accuracy"),),
    trials=10**6,
    timeout_seconds=None,
    trial_timeout_seconds=None,
    epochs=4,
    screen=None,
    confirm=Confirm(trials=0),
    baselines=(),
    description={},
    fingerprint="sleeping",
)


@contextmanager
def project():
    """An empty project as current folder. Nodes get it, with this module, as working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("mlruns").mkdir()
        shutil.copy(ROOT / "benchmarks" / "sleeping.py", folder)
        sys.path.insert(0, folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            sys.path.remove(folder)


def first_ones_end(study, count) -> float:
    """The deadline of the warm-up: now, once there were two trials for each actor."""
    done = len(study.trials.all(TrialState.COMPLETE))
    return 0.0 if done >= 2 * count else math.inf


def measure(address: str, actors: int, seconds: float, sleep: float) -> dict[str, float]:
    """Search for `seconds` once all actors are ready; returns the measurements."""
    from mnist_cnn.workers.cluster.actors import RayWorkers
    from mnist_cnn.workers.cluster.wanted import RayWanted

    with project() as folder:
        import sleeping

        tasks.trial = partial(sleeping.sleeping_trial, sleep)
        console = Console(file=io.StringIO(), width=100)
        storage = f"sqlite:///{folder}/optuna.db"
        wanted = RayWanted(actors, cpus=1, gpus=0, address=address)
        with (
            open_study(PLAN, storage) as opened,
            RayWorkers(wanted, Path("log")) as workers,
            storage_proxy(storage, workers.host) as proxy,
        ):
            began = time.monotonic()
            while workers.idle < actors:
                workers.wait(0.5)
            ready = time.monotonic() - began
            request = Request(experiment=PLAN.id)
            search = Search(opened, request, workers, proxy, console)
            search.deliverer.start()
            # Each process imports what it needs with its first trial, so these are not measured.
            search.run_on_workers(search._next_trial, lambda: first_ones_end(opened.study, actors))
            own, served = psutil.Process(), psutil.Process(proxy._process.pid)
            before = own.cpu_times(), served.cpu_times(), psutil.cpu_times()
            done = len(opened.study.trials.all(TrialState.COMPLETE))
            began = time.monotonic()
            search.run_on_workers(search._next_trial, lambda: began + seconds)
            spent = time.monotonic() - began
            found = len(opened.study.trials.all(TrialState.COMPLETE)) - done
            after = own.cpu_times(), served.cpu_times(), psutil.cpu_times()
            search.deliverer.close(5)
        busy = [sum(b[:2]) - sum(a[:2]) for a, b in zip(before[:2], after[:2], strict=True)]
        idle = after[2].idle - before[2].idle
        return {
            "actors": actors,
            "ready": ready,
            "trials": found * 60 / spent,
            "most": actors * 60 / sleep,
            "search": busy[0] / spent,
            "proxy": busy[1] / spent,
            "machine": 1 - idle / spent / psutil.cpu_count(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--sleep", type=float, default=2.0, help="seconds of a trial")
    options = parser.parse_args()
    print("| actors | trials a minute | at most | search, of a core | proxy | cores busy | ready |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    with cluster_of(1, cpus=max(options.actors)) as (nodes, _):
        for actors in options.actors:
            row = measure(nodes.address, actors, options.seconds, options.sleep)
            print(
                f"| {actors} | {row['trials']:.0f} | {row['most']:.0f} | {row['search']:.0%} "
                f"| {row['proxy']:.0%} | {row['machine']:.0%} | {row['ready']:.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
