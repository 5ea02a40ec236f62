"""Searchers compared on recorded learning curves: what each has found after how many seconds.

    .venv/bin/python benchmarks/searchers.py [--seeds 100] [--seconds 330] [--baselines]
        [--curves benchmarks/curves_8.jsonl.gz]

No network is trained: a regression on recorded curves (surrogate.py) says how a training goes,
and its luck is drawn anew for each trial but those that go on after a look. Real Optuna studies
with the real space, and screening as it is, search on it, two workers on a clock that is set
forward. Method: K. Eggensperger, F. Hutter, H. Hoos, K. Leyton-Brown, "Efficient Benchmarking of
Hyperparameter Optimizers via Surrogates" (AAAI 2015).

A searcher is judged by the *expected* error of the configuration that it holds to be the best, the
regression's without the luck: a trial that was lucky does not count as good. Beside it stands when
a trial first reported a validation accuracy of 99.0, 99.2 and 99.3 %, luck included, as
benchmarks/bench.py counts it. Written to benchmarks/results/: `searchers.md` and `searchers.png`;
with `--baselines`, `searchers_baselines.md` and so on. "nan" stands where a search completed no
trial, "-" where the median search did not come so far.
"""

import argparse
import heapq
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.comparison import THRESHOLDS, typical_time  # noqa: E402
from benchmarks.surrogate import CURVES, Surrogate, learn  # noqa: E402
from mnist_cnn.experiment import Screen  # noqa: E402
from mnist_cnn.hyperparameters import TrialHyperParameters  # noqa: E402
from mnist_cnn.study import screening  # noqa: E402

RESULTS = ROOT / "benchmarks/results"
WORKERS = 2
GOOD = THRESHOLDS[1:]
# Rough estimates of what a trial takes beside its epochs: to sample and build, to score and save.
START_SECONDS, END_SECONDS = 0.5, 0.8
AGAIN_SECONDS = 1.0  # what goes on is traced again; a recorded first epoch has that in it

RANDOM = optuna.samplers.RandomSampler
# Random for so many trials first. Grouped: a parameter that not all trials have is modelled too.
EARLY_TPE = partial(optuna.samplers.TPESampler, group=True, n_startup_trials=6)
MIDDLE_TPE = partial(optuna.samplers.TPESampler, group=True, n_startup_trials=10)
LATE_TPE = partial(optuna.samplers.TPESampler, group=True, n_startup_trials=20)
UNGROUPED_TPE = partial(optuna.samplers.TPESampler, n_startup_trials=20)
MEDIAN = partial(optuna.pruners.MedianPruner, 5)
SHA = partial(optuna.pruners.SuccessiveHalvingPruner, 1)
HYPERBAND = partial(optuna.pruners.HyperbandPruner, min_resource=1, max_resource=16)

ONE_OF_3, ONE_OF_4 = (Screen(epochs=1, one_of=number) for number in (3, 4))


@dataclass(frozen=True)
class Searcher:
    """What an experiment's fields of these names may be."""

    sampler: Callable[..., optuna.samplers.BaseSampler]
    pruner: Callable[[], optuna.pruners.BasePruner] = optuna.pruners.NopPruner
    screen: Screen | None = None


SEARCHERS = {
    "random": Searcher(RANDOM),
    "random, median from epoch 4": Searcher(RANDOM, partial(MEDIAN, 4)),
    "random, SHA 2": Searcher(RANDOM, partial(SHA, 2)),
    "random, SHA 4": Searcher(RANDOM, partial(SHA, 4)),
    "TPE after 6": Searcher(EARLY_TPE),
    "TPE after 6, best third from epoch 1": Searcher(
        EARLY_TPE,
        partial(optuna.pruners.PercentilePruner, 33.0, 3, 1),
    ),
    "TPE after 6, median from epoch 4": Searcher(EARLY_TPE, partial(MEDIAN, 4)),
    "TPE after 10": Searcher(MIDDLE_TPE),
    "TPE after 10, median from epoch 4": Searcher(MIDDLE_TPE, partial(MEDIAN, 4)),
    "TPE after 20": Searcher(LATE_TPE),
    "TPE after 20, median from epoch 2": Searcher(LATE_TPE, partial(MEDIAN, 2)),
    "TPE after 20, median from epoch 4": Searcher(LATE_TPE, partial(MEDIAN, 4)),
    "TPE after 20, median from epoch 8": Searcher(LATE_TPE, partial(MEDIAN, 8)),
    "TPE after 20, median from epoch 12": Searcher(LATE_TPE, partial(MEDIAN, 12)),
    "TPE after 20, SHA 2": Searcher(LATE_TPE, partial(SHA, 2)),
    "TPE after 20, SHA 4": Searcher(LATE_TPE, partial(SHA, 4)),
    "TPE after 20, Hyperband 3": Searcher(LATE_TPE, partial(HYPERBAND, reduction_factor=3)),
    "TPE after 20, ungrouped, median from epoch 4": Searcher(UNGROUPED_TPE, partial(MEDIAN, 4)),
    "random, 1 of 3 screened at epoch 1": Searcher(RANDOM, screen=ONE_OF_3),
    "random, 1 of 4 screened at epoch 1": Searcher(RANDOM, screen=ONE_OF_4),
    "random, 1 of 4 screened at epoch 2": Searcher(RANDOM, screen=Screen(epochs=2, one_of=4)),
    "random, 1 of 4 screened at epoch 4": Searcher(RANDOM, screen=Screen(epochs=4, one_of=4)),
    "random, 1 of 8 screened at epoch 1": Searcher(RANDOM, screen=Screen(epochs=1, one_of=8)),
    "TPE after 10, 1 of 3 screened at epoch 1": Searcher(MIDDLE_TPE, screen=ONE_OF_3),
    "TPE after 10, 1 of 4 screened at epoch 1": Searcher(MIDDLE_TPE, screen=ONE_OF_4),
    "TPE after 20, 1 of 3 screened at epoch 1": Searcher(LATE_TPE, screen=ONE_OF_3),
    "TPE after 20, 1 of 3 screened at epoch 1, median from epoch 4": Searcher(
        LATE_TPE, partial(MEDIAN, 4), ONE_OF_3
    ),
    "TPE after 20, 1 of 3 screened at epoch 1, SHA 4": Searcher(
        LATE_TPE, partial(SHA, 4), ONE_OF_3
    ),
    "TPE after 20, 1 of 4 screened at epoch 1": Searcher(LATE_TPE, screen=ONE_OF_4),
}

# What the picture tells apart; the others are grey.
SHOWN = (
    "random",
    "TPE after 20",
    "TPE after 20, median from epoch 4",
    "TPE after 20, SHA 4",
    "TPE after 20, Hyperband 3",
    "random, 1 of 3 screened at epoch 1",
    "TPE after 20, 1 of 3 screened at epoch 1",
)


class Nothing:
    """Takes every call, and every attribute is itself: Keras, without a network."""

    def __call__(self, *arguments: object, **named: object) -> "Nothing":
        return self

    def __getattr__(self, name: str) -> "Nothing":
        return self


NOTHING = Nothing()


def declare(trial: optuna.Trial) -> dict[str, Any]:
    """The trial's parameters, as the real space asks for them; its layers are not made."""
    from search_spaces import cnn

    with mock.patch.multiple(cnn, keras=NOTHING, layers=NOTHING):
        cnn.cnn(TrialHyperParameters(trial))
    return trial.params


@dataclass(frozen=True)
class Outcome:
    """One search.

    history: (second, expected error of the best configuration) at each change.
    reported: (second, trial, validation accuracy) of each epoch, as comparison.py has it of a run.
    """

    history: list[tuple[float, float]]
    reported: list[tuple[float, str, float]]
    complete: int
    pruned: int
    better_of_two: float

    def errors(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The expected error of the best configuration at each of `seconds`; NaN before any."""
        found = np.full(len(seconds), np.nan)
        for when, error in self.history:
            found[seconds >= when] = error
        return found


@dataclass(frozen=True, order=True)
class Event:
    """The end of an epoch, counted from 1, of a trial whose epochs end at `ends`."""

    second: float
    epoch: int
    number: int
    trial: optuna.Trial = field(compare=False)
    accuracies: NDArray[np.float64] = field(compare=False)
    ends: NDArray[np.float64] = field(compare=False)


def search(
    surrogate: Surrogate, searcher: str, seconds: float, baselines: bool, seed: int
) -> Outcome:
    """One search on `surrogate`, to the last trial that is complete within `seconds`.

    Its first trial has the space's defaults; with `baselines` the first are the experiment's.
    """
    from experiments.mnist import experiment

    how = SEARCHERS[searcher]
    screen = how.screen
    random = np.random.default_rng(seed)
    study = optuna.create_study(
        direction="maximize", sampler=how.sampler(seed=seed), pruner=how.pruner()
    )
    for baseline in experiment.baseline if baselines else [{}]:
        screening.enqueue_unscreened(study, baseline, "baseline")
    expected: dict[int, float] = {}
    lucks: dict[int, NDArray[np.float64]] = {}
    events: list[Event] = []

    def begin(now: float) -> None:
        if screen:
            screening.enqueue_next(study, screen)
        trial = study.ask()
        middle = surrogate.expected(declare(trial))
        beginning = screening.checkpoint_source(trial)
        if beginning == trial.number:
            lucks[beginning] = surrogate.luck[random.integers(len(surrogate.luck))]
        errors, times = np.split(10 ** (middle + lucks[beginning]), 2)
        expected[trial.number] = 10 ** middle[len(errors) - 1]
        done = screen.epochs if screen and beginning != trial.number else 0
        for epoch in range(1, done + 1):
            trial.report(1 - errors[epoch - 1], epoch)
        times[:done], times[done] = 0, times[done] + AGAIN_SECONDS * (done > 0)
        ends = now + START_SECONDS + np.cumsum(times)
        heapq.heappush(events, Event(ends[done], done + 1, trial.number, trial, 1 - errors, ends))

    for _ in range(WORKERS):
        begin(0.0)
    history: list[tuple[float, float]] = []
    reported: list[tuple[float, str, float]] = []
    while events[0].second < seconds:
        event = heapq.heappop(events)
        event.trial.report(accuracy := event.accuracies[event.epoch - 1], event.epoch)
        # Rounded, as a recorded 0.99 comes back from its logarithm a little less.
        reported.append((event.second, str(event.number), round(float(accuracy), 6)))
        if event.epoch == len(event.accuracies):
            study.tell(event.trial, float(event.accuracies.max()))
            if study.best_trial.number == event.number:
                history.append((event.second, expected[event.number]))
            begin(event.second + END_SECONDS)
        elif screening.ends(screen, event.trial, event.epoch):
            event.trial.set_user_attr(screening.LOOKED_AT, event.trial.params)
            study.tell(event.trial, state=TrialState.PRUNED)
            begin(event.second)
        elif event.trial.should_prune():
            study.tell(event.trial, state=TrialState.PRUNED)
            begin(event.second)
        else:
            later = replace(event, second=event.ends[event.epoch], epoch=event.epoch + 1)
            heapq.heappush(events, later)
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    ranking = sorted(complete, key=lambda trial: trial.value, reverse=True)
    return Outcome(
        history,
        reported,
        len(complete),
        len(study.get_trials(deepcopy=False, states=[TrialState.PRUNED])),
        min((expected[trial.number] for trial in ranking[:2]), default=np.nan),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--baselines", action="store_true", help="begin as the experiment does")
    parser.add_argument("--curves", type=Path, default=CURVES, help="a table of recorded curves")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    surrogate = learn(options.curves)
    print(
        f"{surrogate.curves} curves; rank correlation of the last epoch's error, predicted "
        f"without its curve: {surrogate.correlation:.2f}; with each epoch's: "
        f"{', '.join(f'{one:.2f}' for one in surrogate.so_far)}",
        flush=True,
    )
    found: dict[str, list[Outcome]] = {}
    with multiprocessing.get_context("fork").Pool() as pool:
        for name in SEARCHERS:
            one = partial(search, surrogate, name, options.seconds, options.baselines)
            found[name] = pool.map(one, range(options.seeds))
            print(row(name, found[name]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    stem = "searchers_baselines" if options.baselines else "searchers"
    titles = ["searcher", "expected error of the best, %", "of the better of its two best, %"]
    titles += [f"s to {100 * threshold:.1f} %" for threshold in GOOD]
    titles += ["complete", "pruned"]
    (RESULTS / f"{stem}.md").write_text(
        f"Mean and standard error over {options.seeds} seeds after {options.seconds:.0f} s; "
        f"the seconds are medians.\n\n| {' | '.join(titles)} |\n{'|---' * len(titles)}|\n"
        + "\n".join(row(*item) for item in found.items())
        + "\n"
    )
    plot(found, options.seconds, RESULTS / f"{stem}.png")


def row(name: str, outcomes: list[Outcome]) -> str:
    """A searcher's line of the table."""
    cells = [
        f"{100 * np.mean(errors):.3f} ± {100 * np.std(errors) / len(errors) ** 0.5:.3f}"
        for errors in (
            [outcome.errors(np.array([np.inf]))[0] for outcome in outcomes],
            [outcome.better_of_two for outcome in outcomes],
        )
    ]
    cells += [typical_time([one.reported for one in outcomes], threshold) for threshold in GOOD]
    cells += [f"{np.mean([outcome.complete for outcome in outcomes]):.1f}"]
    cells += [f"{np.mean([outcome.pruned for outcome in outcomes]):.1f}"]
    return f"| {name} | {' | '.join(cells)} |"


def plot(found: dict[str, list[Outcome]], seconds: float, path: Path) -> None:
    """The expected error of the best configuration against time: means, and standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    grid = np.linspace(0, seconds, 300)
    figure, axes = plt.subplots(figsize=(12, 6), layout="constrained")
    for name, outcomes in found.items():
        shown = name in SHOWN
        color = f"C{SHOWN.index(name)}" if shown else "0.8"
        errors = 100 * np.array([outcome.errors(grid) for outcome in outcomes])
        seen = ~np.isnan(errors).any(axis=0)
        mean = errors[:, seen].mean(axis=0)
        half = errors[:, seen].std(axis=0) / len(outcomes) ** 0.5
        label = name if shown else None
        axes.plot(grid[seen], mean, color=color, label=label, zorder=2 + shown)
        if shown:
            axes.fill_between(grid[seen], mean - half, mean + half, color=color, alpha=0.15, lw=0)
    axes.set(
        xlabel="seconds on the replay's clock, two workers",
        ylabel="expected validation error of the best configuration, %",
        title=f"Searchers on recorded curves: mean and standard error of {len(outcomes)} seeds, "
        "the other searchers in grey",
    )
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right center")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
