"""The measurements of `make bench`, as tables and as a picture.

`runs` is, by the method's name and the seed, the epochs of a run: seconds since its start, trial,
validation accuracy.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers import METHODS

THRESHOLDS = (0.985, 0.99, 0.992, 0.993)
OUR_STYLES = ("-", "--", ":")
TICKS = (0.3, 0.5, 0.7, 1, 2, 5, 10, 20)


def table(runs, seconds: float) -> str:
    """Medians over the seeds, and how many of them passed each accuracy."""
    titles = [f"s to {100 * threshold:.1f} %" for threshold in THRESHOLDS]
    lines = [
        f"Each method alone for {seconds:.0f} s; medians over the seeds, in brackets how many of "
        "the seeds came so far if not all. An epoch of the others is a pass over the images; of "
        "this project's short ones, those that are validated count.",
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
        cells = [median_time(seeds, threshold, seconds) for threshold in THRESHOLDS]
        lines.append(
            f"| {name} | {len(seeds)} | {trials:.0f} | {epochs:.0f} "
            f"| {statistics.median(best):.4f}{spread} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def median_time(seeds, threshold: float, seconds: float) -> str:
    """The median over all seeds of the seconds to `threshold`, infinite where it never came."""
    times = [first_time(rows, threshold) for rows in seeds.values()]
    came = sum(time < float("inf") for time in times)
    if not came:
        return "-"
    middle = statistics.median(times)
    text = f"{middle:.0f}" if middle < float("inf") else f"> {seconds:.0f}"
    return text if came == len(times) else f"{text} ({came} of {len(times)})"


def first_time(rows, threshold: float) -> float:
    """The seconds to the first epoch that reached `threshold`, infinite if none did."""
    return min((when for when, _, accuracy in rows if accuracy >= threshold), default=float("inf"))


def ratios(runs, seconds: float) -> Iterator[str]:
    """For each method of this project a table of how many times as long the others took.

    Compared seed by seed. An accuracy that was never reached counts as if reached at the end, and
    the ratio is marked as a bound.
    """
    titles = [f"{100 * threshold:.1f} %" for threshold in THRESHOLDS]
    for ours in [name for name in runs if METHODS[name][0] == "ours"]:
        lines = [
            f"How many times as long as {ours} the others took, seed by seed: median (least to "
            "most). `>`: the other never came so far; `<`: this project did not; `-`: neither.",
            "",
            f"| method | {' | '.join(titles)} |",
            "|---" * (1 + len(titles)) + "|",
        ]
        for name in [name for name in runs if METHODS[name][0] != "ours"]:
            cells = [ratio(runs[ours], runs[name], each, seconds) for each in THRESHOLDS]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        yield "\n".join(lines) + "\n"


def ratio(ours, theirs, threshold: float, seconds: float) -> str:
    """The ratio of the others' seconds to ours to `threshold`: median (least to most) of seeds."""
    found = []
    for seed in sorted(ours.keys() & theirs.keys()):
        own, other = (first_time(runs[seed], threshold) for runs in (ours, theirs))
        if min(own, other) < float("inf"):
            bound = ">" if other > seconds else "<" if own > seconds else ""
            found.append((min(other, seconds) / min(own, seconds), bound))
    if not found:
        return "-"
    least, middle, most = (
        f"{bound} {value:.1f}".strip()
        for value, bound in (min(found), statistics.median_low(found), max(found))
    )
    return middle if least == most else f"{middle} ({least} to {most})"


def plot(runs, seconds: float, path: Path) -> None:
    """The incumbent's validation error against time: median and range over the seeds."""
    grid = np.linspace(0, seconds, 400)
    titles = {
        "guide": "the others as their guides show them",
        "settings": "the others with this project's settings",
    }
    measured = {METHODS[name][-1] for name in runs}
    shown = [words for words in titles if words in measured] or ["guide"]
    figure = Figure(figsize=(1.5 + 5.75 * len(shown), 5.5), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    figure.suptitle("Best model so far: median and range over the seeds")
    for axes, words in zip(panels, shown, strict=True):
        for name, seeds in runs.items():
            place, ours = list(METHODS).index(name), METHODS[name][0] == "ours"
            if not ours and METHODS[name][-1] != words:
                continue
            curves = np.array([incumbent(rows, grid) for rows in seeds.values()])
            (line,) = axes.plot(
                grid,
                np.median(curves, axis=0),
                OUR_STYLES[place] if ours else "-",
                color="black" if ours else f"C{(place - len(OUR_STYLES)) % 6}",
                linewidth=2.5 if ours else 1.5,
                label=name.removesuffix(", our settings"),
            )
            low, high = curves.min(axis=0), curves.max(axis=0)
            axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set(title=titles[words], xlabel="seconds since the start of the process")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    panels[0].set(yscale="log", ylabel="validation error of the incumbent, %")
    panels[0].set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    panels[0].set_ylim(TICKS[0], TICKS[-1])
    panels[0].minorticks_off()
    figure.savefig(path, dpi=110)


def incumbent(rows, grid):
    """The least error in per cent at each time of `grid`; 100 before the first epoch."""
    errors = np.full(len(grid), 100.0)
    for when, _, accuracy in rows:
        errors[grid >= when] = np.minimum(errors[grid >= when], 100 * (1 - accuracy))
    return errors
