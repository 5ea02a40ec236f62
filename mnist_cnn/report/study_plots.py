"""The pictures of a study as a whole: its workers' time, its front, its confirmations.

Each function returns a Matplotlib figure.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BEST_COLOR, BLUE, ORANGE
from mnist_cnn.experiment import Objective
from mnist_cnn.report.text import difference
from mnist_cnn.study.confirmation import Candidate


def pareto_front(trials: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> Figure:
    """The complete trials by their first two objectives; dominated ones are grey."""
    first, second = objectives[:2]
    complete = [t for t in trials if t.state == TrialState.COMPLETE and np.isfinite(t.values).all()]
    front = _front(complete, (first, second))
    among = "" if len(objectives) == 2 else f" by the first two of {len(objectives)} objectives"
    figure, axes = style.new_figure(f"Pareto front{among}")
    numbers = {trial.number for trial in front}
    beaten = [trial for trial in complete if trial.number not in numbers]
    axes.scatter(
        [trial.values[0] for trial in beaten],
        [trial.values[1] for trial in beaten],
        s=28 if len(beaten) <= 300 else 8,
        color="#AAAAAA",
        label=f"dominated ({len(beaten)})",
    )
    x, y = [trial.values[0] for trial in front], [trial.values[1] for trial in front]
    # The corner is the worse of two neighbours in both: what the front promises, and no more.
    axes.step(
        x, y, where="pre" if first.direction == "maximize" else "post", color=BEST_COLOR, alpha=0.5
    )
    axes.plot(
        x,
        y,
        "D",
        color=BEST_COLOR,
        mec="white",
        ms=8,
        label=f"front ({len(front)}), with the trial's number",
    )
    for trial in front[:: -(-len(front) // 12) or 1]:
        place = (trial.values[0], trial.values[1])
        axes.annotate(f"{trial.number}", place, (6, 6), textcoords="offset points", fontsize=9)
    for axis, objective, letter in ((axes.xaxis, first, "x"), (axes.yaxis, second, "y")):
        values = [trial.values[0 if letter == "x" else 1] for trial in complete]
        if values and min(values) > 0 and max(values) > 20 * min(values):
            axes.set(**{f"{letter}scale": "log"})
        better = "more" if objective.direction == "maximize" else "less"
        if values and max(map(abs, values)) >= 10_000:
            axis.set_major_formatter("{x:,.0f}")
        axis.set_label_text(f"{style.with_unit(objective.metric)}, {better} is better")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    style.legend(axes)
    return figure


def confirmations(
    ranked: Sequence[Candidate], objective: Objective, epochs: tuple[int, int]
) -> Figure:
    """The first score of each confirmed candidate, and those on fresh seeds, best mean first.

    epochs: of a trial, and of a confirmation.
    """
    confirmed = [candidate for candidate in ranked if candidate.scores]
    figure, axes = style.new_figure("Confirmation: first score and scores on fresh seeds")
    labels = []
    for x, candidate in enumerate(confirmed):
        first, scores = candidate.first, candidate.scores
        once = "" if x == 0 else "_"  # the legend names each kind once
        axes.plot(
            x - 0.15,
            first,
            "D",
            mfc="white",
            mec=ORANGE,
            mew=2,
            ms=9,
            label=f"{once}first score, chosen as one of the best ({epochs[0]} epochs)",
        )
        axes.plot(
            [x] * len(scores),
            scores,
            "o",
            color=BLUE,
            ms=7,
            alpha=0.8,
            label=f"{once}fresh seeds ({epochs[1]} epochs)",
        )
        axes.errorbar(
            x + 0.15,
            candidate.score,
            yerr=candidate.deviation or 0.0,
            fmt="_",
            color="black",
            ms=16,
            mew=2.5,
            capsize=5,
            label=f"{once}their mean and standard deviation",
        )
        change = candidate.score - first
        winner = " (winner)" if x == 0 else ""
        labels.append(f"trial {candidate.trial.number}{winner}\n{difference(change)}")
    axes.set_xticks(range(len(confirmed)), labels)
    axes.set_xlim(-0.6, max(len(confirmed), 1) - 0.4)
    axes.margins(y=0.15)
    axes.set_xlabel("candidate, the best mean first; below it, mean minus first score")
    axes.set_ylabel(style.with_unit(objective.metric))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _front(complete: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> list[FrozenTrial]:
    """The trials that no other beats in one of two objectives and equals in the other."""
    sign = [-1 if objective.direction == "maximize" else 1 for objective in objectives]
    front: list[FrozenTrial] = []
    for trial in sorted(
        complete, key=lambda t: [s * v for s, v in zip(sign, t.values, strict=False)]
    ):
        if not front or sign[1] * trial.values[1] < sign[1] * front[-1].values[1]:
            front.append(trial)
    return sorted(front, key=lambda trial: float(trial.values[0]))
