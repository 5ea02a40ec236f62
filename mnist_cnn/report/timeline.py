"""The timeline of a study's workers: when each run was trained, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from optuna.trial import TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import BLUE, GREEN, GREY, ORANGE
from mnist_cnn.report.history import Interval, RunHistory
from mnist_cnn.report.text import STATE_WORDS

# How an interval ended, and the colour and the hatch of its bar.
ENDINGS = {
    "complete": (BLUE, ""),
    "stopped": (ORANGE, "//"),
    "failed": (GREY, "xx"),
    "confirmation": (GREEN, ".."),
    "interrupted": ("#CCCCCC", "--"),
}
LONG_PAUSE = 0.03  # share of the study's working time; a longer pause is cut out and marked
MANY_BARS = 300  # from here on, bars have no hatch
MAX_ROW_LABELS = 16


@dataclass(frozen=True)
class Bar:
    """An interval of a run on the timeline.

    Attributes:
        run: The run.
        interval: One of its intervals.
        ending: A key of `ENDINGS`.
        row: From 0.
    """

    run: RunHistory
    interval: Interval
    ending: str
    row: int


@dataclass(frozen=True)
class TimeAxis:
    """The x axis: working time, without the pauses of the whole search.

    Attributes:
        begin: When the first run began, in seconds since 1970.
        pauses: What is cut out.
        unit: The name of the unit.
        unit_seconds: The number of seconds in it.
        length: How long the study was worked on, in that unit.
    """

    begin: float
    pauses: Sequence[Interval]
    unit: str
    unit_seconds: float
    length: float

    def position(self, time: float) -> float:
        """Return where a time, in seconds since 1970, lies on the axis."""
        return _working_time(self.begin, time, self.pauses) / self.unit_seconds


def timeline(histories: Sequence[RunHistory]) -> Figure:
    """Plot when each run was trained, in one row for each worker.

    If a journal does not name its worker, runs that do not overlap share a row. Pauses of the whole
    search are cut out.
    """
    known = _workers_are_known(histories)
    bars = _bars(histories, known)
    rows = max((bar.row for bar in bars), default=0) + 1
    figure, axes = style.new_figure("Timeline of the workers", min(7, 1.9 + 0.42 * rows))
    time_axis = _time_axis([bar.interval for bar in bars])
    _draw_bars(axes, bars, time_axis)
    _mark_pauses(axes, time_axis)
    if time_axis.pauses:
        axes.set_title(axes.get_title(), pad=18)  # above the labels of the pauses
    axes.set_xlim(0, time_axis.length * 1.005 if time_axis.length else 1)
    axes.set_ylim(rows - 0.4, -0.6)
    labelled = range(0, rows, -(-rows // MAX_ROW_LABELS))
    axes.set_yticks(labelled, [str(row + 1) for row in labelled])
    axes.set_xlabel(f"working time since the first trial began ({time_axis.unit})")
    axes.set_ylabel("worker" if known else "in parallel")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    _add_legend(figure, bars)
    return figure


def _bars(histories: Sequence[RunHistory], known: bool) -> list[Bar]:
    """Return the bars; each is in the row of its worker if that is known, else in a free one."""
    parts = [(interval, run) for run in histories for interval in run.intervals]
    parts.sort(key=lambda part: part[0].start)
    ends: list[float] = []  # of the last bar in each row
    bars = []
    for interval, run in parts:
        if known:
            row = int(interval.worker or 1) - 1
        else:
            row = next((n for n, end in enumerate(ends) if end <= interval.start), len(ends))
            ends[row : row + 1] = [interval.end]
        bars.append(Bar(run, interval, _ending(run, interval), row))
    return bars


def _workers_are_known(histories: Sequence[RunHistory]) -> bool:
    """Return whether the journals name the workers.

    A run that failed before it was built has no worker, but it takes less than a second.
    """
    intervals = [interval for run in histories for interval in run.intervals]
    return all(interval.worker for interval in intervals if interval.end - interval.start > 1)


def _ending(run: RunHistory, interval: Interval) -> str:
    if interval is not run.intervals[-1] or not run.state:
        return "interrupted"
    if run.kind == "confirmation" and run.state != "FAIL":
        return "confirmation"
    return STATE_WORDS[TrialState[run.state]]


def _time_axis(intervals: Sequence[Interval]) -> TimeAxis:
    begin = min((interval.start for interval in intervals), default=0.0)
    end = max((interval.end for interval in intervals), default=0.0)
    pauses = _pauses(intervals)
    seconds = _working_time(begin, end, pauses)
    unit, unit_seconds = _unit(seconds)
    return TimeAxis(begin, pauses, unit, unit_seconds, seconds / unit_seconds)


def _pauses(intervals: Sequence[Interval]) -> list[Interval]:
    """Return the long pauses, such as a night between two searches of the study."""
    gaps, busy, end = [], 0.0, -np.inf
    for interval in sorted(intervals):
        if end < interval.start and np.isfinite(end):
            gaps.append(Interval(end, interval.start))
        busy += max(0.0, interval.end - max(end, interval.start))
        end = max(end, interval.end)
    return [gap for gap in gaps if gap.end - gap.start > LONG_PAUSE * busy]


def _working_time(begin: float, time: float, pauses: Sequence[Interval]) -> float:
    """Return the seconds from `begin` to `time` without the pauses in between."""
    return time - begin - sum(pause.end - pause.start for pause in pauses if pause.end <= time)


def _unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which to show a time span, and the number of seconds in it."""
    for name, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 3 * size:
            return name, size
    return "seconds", 1.0


def _draw_bars(axes: Axes, bars: Sequence[Bar], time_axis: TimeAxis) -> None:
    many = len(bars) > MANY_BARS
    for ending, (color, hatch) in ENDINGS.items():
        found = [bar for bar in bars if bar.ending == ending]
        boxes = [_box(bar, time_axis) for bar in found]
        axes.add_collection(
            PolyCollection(
                boxes,
                facecolors=color,
                edgecolors="white",
                linewidths=0.1 if many else 0.8,
                hatch="" if many else hatch,
            )
        )
        for bar, box in zip(found, boxes, strict=True):
            _label_bar(axes, bar, box, time_axis.length)


def _box(bar: Bar, time_axis: TimeAxis) -> list[tuple[float, float]]:
    left = time_axis.position(bar.interval.start)
    right = time_axis.position(bar.interval.end)
    low, high = bar.row - 0.38, bar.row + 0.38
    return [(left, low), (left, high), (right, high), (right, low)]


def _label_bar(axes: Axes, bar: Bar, box: list[tuple[float, float]], width: float) -> None:
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


def _mark_pauses(axes: Axes, time_axis: TimeAxis) -> None:
    for pause in time_axis.pauses:
        x = time_axis.position(pause.end)
        unit, unit_seconds = _unit(pause.end - pause.start)
        axes.axvline(x, color="black", linestyle=":", linewidth=1.2)
        text = f"pause, {(pause.end - pause.start) / unit_seconds:.0f} {unit}"
        axes.text(
            x, 1.0, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8
        )


def _add_legend(figure: Figure, bars: Sequence[Bar]) -> None:
    counts = {ending: sum(bar.ending == ending for bar in bars) for ending in ENDINGS}
    handles = [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", label=f"{ending} ({counts[ending]})")
        for ending, (color, hatch) in ENDINGS.items()
        if counts[ending]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(ENDINGS))
