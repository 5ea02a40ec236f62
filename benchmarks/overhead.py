"""The overhead of a search besides training.

    .venv/bin/python benchmarks/overhead.py trial [--trials 10 100 1000 10000] [--repeat 5]
    .venv/bin/python benchmarks/overhead.py search [--trials 12] [--epochs 16]

`trial` measures Optuna's and MLflow's bookkeeping of one trial. A study is filled with finished
trials; then a few trials go through the same functions as in a search, without a model: a worker
opens the study and samples all parameters of search_spaces/cnn.py, reports six epochs, asks whether
to prune, writes the journal, tells Optuna; the search process screens, ranks, and delivers to
MLflow. Milliseconds, medians.

`search` runs the real command on experiments/mnist.py, without screening, pruning and
confirmation, and adds up what its trials' journals say: how long the workers were busy from their
first trial's start to their last one's end, and what of it was spent in epochs.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import optuna  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from experiments.mnist import experiment  # noqa: E402
from mnist_cnn.experiment_id import ExperimentId  # noqa: E402
from mnist_cnn.hyperparameters import TrialHyperParameters  # noqa: E402
from mnist_cnn.optuna_internals import adopt_trial, trial_id  # noqa: E402
from mnist_cnn.project.plan import plan  # noqa: E402
from mnist_cnn.study import chains, confirmation, scheduling, screening  # noqa: E402
from mnist_cnn.study.opening import open_study  # noqa: E402
from mnist_cnn.study.outcome import write_end  # noqa: E402
from mnist_cnn.study.storage import open_storage  # noqa: E402
from mnist_cnn.tracking import journal  # noqa: E402
from mnist_cnn.tracking.client import connect, experiment_id  # noqa: E402
from mnist_cnn.tracking.delivery import Delivery  # noqa: E402
from mnist_cnn.tracking.journal import Journal  # noqa: E402
from search_spaces.cnn import cnn  # noqa: E402

EPOCHS = 6
EXPERIMENT = """
from dataclasses import replace

import optuna

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.experiment import Confirm

experiment = replace(
    mnist_experiment,
    trials={trials},
    epochs={epochs},
    patience={epochs},
    timeout_seconds=None,
    pruner=optuna.pruners.NopPruner,
    screen=None,
    confirm=Confirm(trials=0),
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    verb = verbs.add_parser("trial")
    verb.add_argument("--trials", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    verb.add_argument("--repeat", type=int, default=5)
    verb = verbs.add_parser("search")
    verb.add_argument("--trials", type=int, default=12)
    verb.add_argument("--epochs", type=int, default=experiment.epochs)
    options = parser.parse_args()
    if options.verb == "trial":
        trial_table(options.trials, options.repeat)
    else:
        search_share(options.trials, options.epochs)


def search_share(trials: int, epochs: int) -> None:
    """Run a search and print the share of its time that was not training."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("experiments", "search_spaces"):
            shutil.copytree(ROOT / name, root / name)
        (root / "experiments/share.py").write_text(EXPERIMENT.format(trials=trials, epochs=epochs))
        started = time.time()
        command = [sys.executable, "-m", "mnist_cnn", "search", "share"]
        subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, check=True)
        ended = time.time()
        folders = root.glob("mlruns/checkpoints/share-1/trial-*")
        journals = [events for events, _ in map(journal.read, folders)]
    spans: dict[str, list[float]] = defaultdict(list)
    first_epochs, training = [], []
    for events in journals:
        times = [event["time"] / 1000 for event in events]
        spans[events[0]["worker"]] += [times[0], times[-1]]
        seconds = [
            (t, e["metrics"]) for t, e in zip(times, events, strict=True) if e["event"] == "metrics"
        ]
        training.append(sum(metrics["epoch_seconds"] for _, metrics in seconds))
        first_epochs.append(seconds[0][0] - seconds[0][1]["epoch_seconds"])
    busy = sum(max(times) - min(times) for times in spans.values())
    print(f"{len(journals)} trials of {statistics.fmean(training):.1f} s on {len(spans)} workers")
    print(f"from the command to the first epoch {min(first_epochs) - started:.1f} s")
    print(f"besides training, of the workers' time {1 - sum(training) / busy:.1%}")
    last = max(time for times in spans.values() for time in times)
    print(f"from the last trial's end to the command's, with the report {ended - last:.1f} s")


def trial_table(trials: list[int], repeat: int) -> None:
    """Print the bookkeeping of a trial after each number of others."""
    template = optuna.create_study().ask()
    cnn(hp := TrialHyperParameters(template))
    steps = ("ask", "open", "sample", "report", "tell", "rank", "deliver")
    print("| trials before | " + " | ".join(steps) + " | all, ms |")
    print("|---" * (len(steps) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # mlruns/ is made here
        for number in trials:
            found = measure(number, repeat, hp.space, template)
            medians = {step: 1000 * statistics.median(found[step]) for step in steps}
            cells = " | ".join(f"{medians[step]:.0f}" for step in steps)
            print(f"| {number} | {cells} | {sum(medians.values()):.0f} |", flush=True)


def measure(number: int, repeat: int, space, template) -> dict[str, list[float]]:
    """Seconds of each step for trials that come after `number` others, by step."""
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(step: str):
        started = time.perf_counter()
        yield
        seconds[step].append(time.perf_counter() - started)

    root = Path.cwd() / f"{number}"
    (root / "mlruns").mkdir(parents=True)
    os.chdir(root)
    url = f"sqlite:///{root}/mlruns/optuna.db"
    with open_study(plan(ExperimentId("bench"), experiment), url) as opened:
        study = opened.study
    asking = study.trials.optuna_study
    asking.add_trials(past(number, template))
    client = connect(root / "mlruns")
    client_experiment = experiment_id(client, "bench", root / "mlruns")
    Journal(study.folder).write("start", name=study.name, tags={"kind": "study"}, params={})
    delivery = Delivery(client, client_experiment, study.folder)
    delivery.deliver()
    seen = optuna.load_study(study_name=study.name, storage=open_storage(url))
    for place in range(repeat + 1):
        with timed("ask"):
            asked = scheduling.next_trial(study, wanted=10**9, seconds_left=10**9)
            assert asked and not asked.user_attrs, "nothing is sampled for what continues"
        with timed("open"):
            seen.sampler, seen.pruner = experiment.sampler(seed=place), experiment.pruner()
            number_in_storage = trial_id(open_storage(url), study.name, asked.number)
            trial = adopt_trial(seen, number_in_storage)
        with timed("sample"):
            hp = TrialHyperParameters(trial)
            for declared in space:
                hp._register(declared)
        notes = Journal(study.trials.folder(asked.number))
        notes.write("begin", name="bench", tags={"kind": "trial"}, worker="1")
        notes.write("start", name="bench", tags={"kind": "trial"}, params=dict(hp.values))
        with timed("report"):
            for epoch in range(1, EPOCHS + 1):
                scores = {"val_accuracy": 0.9, "loss": 0.1, "val_loss": 0.1}
                notes.metrics(epoch, scores | {"epoch_seconds": 0.0})
                trial.report(0.9, epoch)
                trial.should_prune()
        with timed("tell"):
            write_end(notes, "COMPLETE", values=[0.9], summary={"best_val_accuracy": 0.9})
            study.trials.tell(asked.number)
        with timed("rank"):
            study.remove_obsolete_files([asked.number])
            confirmation.expected_rounds(study, workers=2)
        with timed("deliver"):
            delivery.follow(notes.folder)
            delivery.deliver()
    return {step: values[1:] for step, values in seconds.items()}  # the first one warms up


def past(number: int, template) -> list[optuna.trial.FrozenTrial]:
    """Finished trials with random parameters: stopped ones, and the best of each few complete."""
    sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: list[optuna.trial.FrozenTrial] = []
    for place in range(number):
        turn = place % (experiment.screen.one_of + 1)
        stopped = turn < experiment.screen.one_of
        params = sampler.ask(template.distributions).params if stopped else found[-1].params
        # The best were all continued; else the measured trials would have nothing to sample.
        score = 0.9 + 0.05 * (turn >= experiment.screen.one_of - 1) + 0.01 * place / number
        before = {chains.CONTINUES: place - 1, chains.FIRST: place - 1, chains.RUNG: 3}
        about = {screening.STOPPED: params} if stopped else before
        found.append(
            optuna.trial.create_trial(
                state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
                params=params,
                distributions=template.distributions,
                value=None if stopped else score,
                user_attrs=about,
                intermediate_values=dict.fromkeys(range(1, 2 if stopped else EPOCHS + 1), score),
            )
        )
    return found


if __name__ == "__main__":
    main()
