"""The time line of a study's workers: when each run was trained, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BLUE, GREEN, GREY, ORANGE
from mnist_cnn.report.history import RunHistory, Stretch

# What a bar of the time line says: colour and hatching.
LOOKS = {
    "complete": (BLUE, ""),
    "pruned": (ORANGE, "//"),
    "failed": (GREY, "xx"),
    "confirmation": (GREEN, ".."),
    "interrupted": ("#CCCCCC", "--"),
}
SHORT_PAUSE = 0.03  # of the study's working time: what is longer is cut out and marked


@dataclass(frozen=True)
class Bar:
    """A stretch of a run on the time line; row: from 0."""

    run: RunHistory
    stretch: Stretch
    look: str
    row: int


def timeline(histories: Sequence[RunHistory]) -> Figure:
    """When each run was trained, a row for each worker.

    Where a journal does not name its worker, a row is runs that were trained one after another.
    Pauses of the whole search are cut out.
    """
    known = _workers_are_known(histories)
    bars = _bars(histories, known)
    rows = max((bar.row for bar in bars), default=0) + 1
    figure, axes = style.new_figure("Time line of the workers", min(7, 1.9 + 0.42 * rows))
    stretches = [bar.stretch for bar in bars]
    cuts = _pauses(stretches)
    begin = min((stretch.start for stretch in stretches), default=0.0)
    last = max((_cut(stretch.end, cuts) for stretch in stretches), default=0.0) - begin
    unit, seconds = _unit(last)
    for look, (color, hatch) in LOOKS.items():
        some = [bar for bar in bars if bar.look == look]
        boxes = [_box(bar, begin, seconds, cuts) for bar in some]
        crowded = len(bars) > 300
        axes.add_collection(
            PolyCollection(
                boxes,
                facecolors=color,
                edgecolors="white",
                linewidths=0.1 if crowded else 0.8,
                hatch="" if crowded else hatch,
            )
        )
        for bar, box in zip(some, boxes, strict=True):
            _name(axes, bar, box, last / seconds)
    _mark_pauses(axes, cuts, begin, seconds)
    if cuts:
        axes.set_title(axes.get_title(), pad=18)  # above the words at the pauses
    axes.set_xlim(0, last / seconds * 1.005 or 1)
    axes.set_ylim(rows - 0.4, -0.6)
    named = range(0, rows, -(-rows // 16))
    axes.set_yticks(named, [str(row + 1) for row in named])
    axes.set_xlabel(f"working time since the first trial began ({unit})")
    axes.set_ylabel("worker" if known else "side by side")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    _legend_of_looks(figure, bars)
    return figure


def _bars(histories: Sequence[RunHistory], known: bool) -> list[Bar]:
    """The bars in rows: that of the stretch's worker if it is known, else the first one free."""
    parts = [(stretch, run) for run in histories for stretch in run.stretches]
    parts.sort(key=lambda part: part[0].start)
    ends: list[float] = []
    bars = []
    for stretch, run in parts:
        if known:
            row = int(stretch.worker or 1) - 1
        else:
            row = next((n for n, end in enumerate(ends) if end <= stretch.start), len(ends))
            ends[row : row + 1] = [stretch.end]
        bars.append(Bar(run, stretch, _look(run, stretch), row))
    return bars


def _workers_are_known(histories: Sequence[RunHistory]) -> bool:
    """Whether the journals name them; a run that was failed unbuilt, within a moment, has none."""
    stretches = [stretch for run in histories for stretch in run.stretches]
    return all(stretch.worker for stretch in stretches if stretch.end - stretch.start > 1)


def _look(run: RunHistory, stretch: Stretch) -> str:
    if stretch is not run.stretches[-1] or not run.state:
        return "interrupted"
    if run.state == "FAIL":
        return "failed"
    return "confirmation" if run.kind == "confirmation" else run.state.lower()


def _pauses(stretches: Sequence[Stretch]) -> list[Stretch]:
    """When nothing was trained for long, as overnight between two searches of the study."""
    gaps, busy, end = [], 0.0, -np.inf
    for stretch in sorted(stretches):
        if end < stretch.start and np.isfinite(end):
            gaps.append(Stretch(end, stretch.start))
        busy += max(0.0, stretch.end - max(end, stretch.start))
        end = max(end, stretch.end)
    return [gap for gap in gaps if gap.end - gap.start > SHORT_PAUSE * busy]


def _cut(moment: float, cuts: Sequence[Stretch]) -> float:
    """The moment when the pauses before it had not been."""
    return moment - sum(cut.end - cut.start for cut in cuts if cut.end <= moment)


def _mark_pauses(axes: Axes, cuts: Sequence[Stretch], begin: float, seconds: float) -> None:
    for cut in cuts:
        x = (_cut(cut.end, cuts) - begin) / seconds
        unit, scale = _unit(cut.end - cut.start)
        axes.axvline(x, color="black", linestyle=":", linewidth=1.2)
        text = f"pause, {(cut.end - cut.start) / scale:.0f} {unit}"
        axes.text(
            x, 1.0, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8
        )


def _unit(seconds: float) -> tuple[str, float]:
    """A unit for a span of so many seconds, and how many seconds it has."""
    for name, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 3 * size:
            return name, size
    return "seconds", 1.0


def _box(
    bar: Bar, begin: float, seconds: float, cuts: Sequence[Stretch]
) -> list[tuple[float, float]]:
    left, right = ((_cut(moment, cuts) - begin) / seconds for moment in bar.stretch[:2])
    low, high = bar.row - 0.38, bar.row + 0.38
    return [(left, low), (left, high), (right, high), (right, low)]


def _name(axes: Axes, bar: Bar, box: list[tuple[float, float]], width: float) -> None:
    """Write the trial's number into a bar that has room for it."""
    left, right = box[0][0], box[2][0]
    if right - left > 0.03 * width:
        axes.text(
            (left + right) / 2,
            bar.row,
            str(bar.run.trial),
            ha="center",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _legend_of_looks(figure: Figure, bars: Sequence[Bar]) -> None:
    counts = {look: sum(bar.look == look for bar in bars) for look in LOOKS}
    figure.legend(
        handles=[
            Patch(facecolor=color, hatch=hatch, edgecolor="white", label=f"{look} ({counts[look]})")
            for look, (color, hatch) in LOOKS.items()
            if counts[look]
        ],
        loc="outside lower center",
        ncols=len(LOOKS),
    )
