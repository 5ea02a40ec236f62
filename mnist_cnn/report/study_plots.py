"""The plots of a study's results: the Pareto front, its hypervolume, and the confirmations.

Each function returns a Matplotlib figure.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BEST_COLOR, BLUE, ORANGE
from mnist_cnn.objectives import Objective
from mnist_cnn.report.confirmation_table import optimism
from mnist_cnn.report.front import hypervolumes, undominated
from mnist_cnn.report.text import counted, difference
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.study import comparable

MAX_NUMBERS = 12  # trials of the front that are labelled with their number
MANY_TRIALS = 300  # from here on, markers are small


def pareto_front(
    trials: Sequence[FrozenTrial],
    objectives: Sequence[Objective],
    ranked: Sequence[Candidate] = (),
) -> Figure:
    """Plot the complete trials by their first two objectives. Dominated trials are grey.

    Trials that violate a constraint are left out.

    Args:
        trials: The trials of the study.
        objectives: All objectives of the study, at least two.
        ranked: The candidates. The means of those that were confirmed are drawn beside the front.
    """
    first, second = objectives[:2]
    complete = comparable(trials)
    among = "" if len(objectives) == 2 else f" by the first two of {len(objectives)} objectives"
    figure, axes = style.new_figure(f"Pareto front{among}")
    front = undominated(complete, objectives)
    front.sort(key=lambda trial: (trial.values[0], second.rank_key(trial.values[1])))
    _draw_dominated(axes, complete, front)
    if len(objectives) == 2:
        _draw_steps(axes, front, first)
    _draw_front(axes, front)
    _draw_confirmed(axes, ranked)
    for letter, index, objective in (("x", 0, first), ("y", 1, second)):
        _style_axis(axes, letter, [trial.values[index] for trial in complete], objective)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    style.legend(axes)
    return figure


def _draw_dominated(
    axes: Axes, complete: Sequence[FrozenTrial], front: Sequence[FrozenTrial]
) -> None:
    numbers = {trial.number for trial in front}
    dominated = [trial for trial in complete if trial.number not in numbers]
    axes.scatter(
        [trial.values[0] for trial in dominated],
        [trial.values[1] for trial in dominated],
        s=28 if len(dominated) <= MANY_TRIALS else 8,
        color="#AAAAAA",
        label=f"dominated ({len(dominated)})",
    )


def _draw_steps(axes: Axes, front: Sequence[FrozenTrial], first: Objective) -> None:
    """Draw that the front promises, between two trials, the worse value of both."""
    axes.step(
        [trial.values[0] for trial in front],
        [trial.values[1] for trial in front],
        where="pre" if first.direction == "maximize" else "post",
        color=BEST_COLOR,
        alpha=0.5,
    )


def _draw_front(axes: Axes, front: Sequence[FrozenTrial]) -> None:
    axes.plot(
        [trial.values[0] for trial in front],
        [trial.values[1] for trial in front],
        "D",
        color=BEST_COLOR,
        mec="white",
        ms=8,
        label=f"front ({len(front)}), with the trial's number",
    )
    step = max(1, -(-len(front) // MAX_NUMBERS))
    for trial in front[::step]:
        place = (trial.values[0], trial.values[1])
        axes.annotate(f"{trial.number}", place, (6, 6), textcoords="offset points", fontsize=9)


def _draw_confirmed(axes: Axes, ranked: Sequence[Candidate]) -> None:
    """Draw the mean over fresh seeds of each confirmed trial, and a line to its first score."""
    confirmed = [candidate for candidate in ranked if candidate.scores]
    for index, candidate in enumerate(confirmed):
        height = candidate.trial.values[1]
        axes.plot([candidate.first, candidate.score], [height] * 2, color=BLUE, linewidth=1)
        label = "_" if index else f"mean on fresh seeds ({len(confirmed)})"
        axes.plot(candidate.score, height, "o", color=BLUE, ms=5, label=label)


def hypervolume_history(trials: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> Figure:
    """Plot the hypervolume over the time since the first trial began.

    Args:
        trials: The finished trials of the study.
        objectives: All objectives of the study.
    """
    figure, axes = style.new_figure("Hypervolume of the front")
    found = hypervolumes(trials, objectives)
    begin = min((t.datetime_start for t in trials if t.datetime_start), default=None)
    ends = [(trial.datetime_complete, value) for trial, value in found if trial.datetime_complete]
    if begin is not None and ends:
        minutes = [(end - begin).total_seconds() / 60 for end, _ in ends]
        axes.step(minutes, [value for _, value in ends], where="post", color=BLUE)
    axes.set(xlabel="minutes since the first trial", ylabel="share of the box of all trials")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    return figure


def _style_axis(axes: Axes, letter: str, values: Sequence[float], objective: Objective) -> None:
    """Label the x or the y axis; it is logarithmic if the values span more than a factor of 20."""
    axis = axes.xaxis if letter == "x" else axes.yaxis
    if values and min(values) > 0 and max(values) > 20 * min(values):
        axes.set(**{f"{letter}scale": "log"})
    if values and max(map(abs, values)) >= 10_000:
        axis.set_major_formatter("{x:,.0f}")
    better = "more" if objective.direction == "maximize" else "less"
    axis.set_label_text(f"{style.with_unit(objective.metric)}, {better} is better")


def confirmations(
    ranked: Sequence[Candidate], objective: Objective, epochs: tuple[int, int]
) -> Figure:
    """Plot the first score of each confirmed candidate beside its scores on fresh seeds.

    Args:
        ranked: The candidates, best mean first. Those that were not confirmed are left out.
        objective: The objective of the scores.
        epochs: Of a trial, and of a confirmation.
    """
    confirmed = [candidate for candidate in ranked if candidate.scores]
    figure, axes = style.new_figure("Confirmation: first score and scores on fresh seeds")
    labels = []
    for x, candidate in enumerate(confirmed):
        _draw_candidate(axes, x, candidate, epochs)
        winner = " (winner)" if candidate is ranked[0] else ""
        better = difference(optimism(objective, candidate))
        labels.append(f"trial {candidate.trial.number}{winner}\n{better}")
    axes.set_xticks(range(len(confirmed)), labels)
    axes.set_xlim(-0.6, max(len(confirmed), 1) - 0.4)
    axes.margins(y=0.15)
    axes.set_xlabel("candidate, the best mean first; below it, the optimism of its first score")
    axes.set_ylabel(style.with_unit(objective.metric))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _draw_candidate(axes: Axes, x: int, candidate: Candidate, epochs: tuple[int, int]) -> None:
    hidden = "" if x == 0 else "_"  # the legend names each kind of marker once
    axes.plot(
        x - 0.15,
        candidate.first,
        "D",
        mfc="white",
        mec=ORANGE,
        mew=2,
        ms=9,
        label=f"{hidden}first score, by which it was selected ({counted(epochs[0], 'epoch')})",
    )
    axes.plot(
        [x] * len(candidate.scores),
        candidate.scores,
        "o",
        color=BLUE,
        ms=7,
        alpha=0.8,
        label=f"{hidden}fresh seeds ({counted(epochs[1], 'epoch')})",
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
        label=f"{hidden}their mean and standard deviation",
    )
