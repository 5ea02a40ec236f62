"""Which point of a study's front to promote. If the user does not say, none is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.objectives import ACCURACY
from mnist_cnn.report.front import FRONT_FILE
from mnist_cnn.report.text import counted, number
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.client import in_filter

Point = dict[str, Any]  # see `report.front.as_json`


@dataclass(frozen=True)
class Choice:
    """What the user said about the point.

    Attributes:
        max_parameters: Its greatest number of parameters, or None.
        min_accuracy: Its least validation accuracy, or None.
    """

    max_parameters: int | None = None
    min_accuracy: float | None = None

    def __bool__(self) -> bool:
        return self.max_parameters is not None or self.min_accuracy is not None

    def point(self, points: list[Point]) -> Point:
        """Return the most accurate point, or the smallest one if only an accuracy is given.

        Args:
            points: The front. Those that were not confirmed are chosen from only if no confirmed
                one fits: a first score was selected for being high.

        Raises:
            UsageError: No point is as small, or as accurate, as asked for.
        """
        fitting = points
        if self.max_parameters is not None:
            fitting = [point for point in fitting if _parameters(point) <= self.max_parameters]
            if not fitting:
                least = min(map(_parameters, points))
                raise UsageError(
                    f"no point of the front has at most {self.max_parameters:,} parameters; the "
                    f"smallest has {least:,.0f}"
                )
        if self.min_accuracy is not None:
            smaller, fitting = fitting, [p for p in fitting if _accuracy(p) >= self.min_accuracy]
            if not fitting:
                best = max(map(_accuracy, smaller))
                small = ""
                if self.max_parameters is not None:
                    small = f"of at most {self.max_parameters:,} parameters "
                raise UsageError(
                    f"no point of the front {small}has a validation accuracy of at least "
                    f"{self.min_accuracy:g}; the best has {best:.4f}"
                )
        fitting = [point for point in fitting if _is_confirmed(point)] or fitting
        if self.max_parameters is None:
            return min(fitting, key=lambda point: (_parameters(point), -_accuracy(point)))
        return max(fitting, key=lambda point: (_accuracy(point), -_parameters(point)))


def run_of_point(client: MlflowClient, study: Run, choice: Choice, folder: Path) -> Run:
    """Return the run to promote of a study: that of the chosen point, or the study's own.

    Args:
        client: Of the tracking store.
        study: The study's run.
        choice: What the user said.
        folder: Where to put the download.

    Raises:
        UsageError: The study has several objectives and the user did not say which point, or the
            reverse, or there is no such point.
        UserError: The front is missing or incomplete, or the point's run is gone.
        MlflowException: MLflow does not answer.
    """
    points = _front(client, study, folder)
    if points is None:
        if choice:
            raise UsageError(
                f"{study.info.run_name} has no front, so there is nothing to choose; leave out "
                "--max-parameters and --min-accuracy"
            )
        return study
    if not choice and len(points) > 1:
        for point in points:
            run = _run(client, study, point)
            print(f"{_in_words(point)}, run {run.info.run_id if run else 'not in MLflow yet'}")
        raise UsageError(
            f"{study.info.run_name} has a front of {counted(len(points), 'point')}; say which: "
            "--run RUN, --max-parameters N "
            f"({_range(points, _parameters, '.0f')}) or --min-accuracy X "
            f"({_range(points, _accuracy, '.4f')})"
        )
    point = choice.point(points)
    found = _run(client, study, point)
    if found is None:
        raise UserError(
            f"the run of trial {point['trial']} is not in MLflow; type `mnist-cnn sync`, or if it "
            "was deleted in MLflow, restore it there"
        )
    print(f"{_in_words(point)}, of {study.info.run_name}")
    return found


def _front(client: MlflowClient, study: Run, folder: Path) -> list[Point] | None:
    """Return the points of a study's front; None if it has a single objective.

    Raises:
        UserError: The study has several objectives, but no front, or an incomplete one.
    """
    if study.data.tags.get(tags.KIND) != "study":
        return None
    run_id = study.info.run_id
    if all(file.path != FRONT_FILE for file in client.list_artifacts(run_id)):
        if study.data.params.get("objectives", "").count("Objective(") > 1:
            raise UserError(
                f"{study.info.run_name} has several objectives, but MLflow has no {FRONT_FILE} of "
                "it; name a run with --run"
            )
        return None
    client.download_artifacts(run_id, FRONT_FILE, str(folder))
    points: list[Point] = json.loads((folder / FRONT_FILE).read_text())["points"]
    for point in points:
        for name in (ACCURACY, "parameters"):
            if name not in point["values"]:
                raise UserError(
                    f"trial {point['trial']} of the front has no {name}; name a run with --run"
                )
    return points


def _run(client: MlflowClient, study: Run, point: Point) -> Run | None:
    """Return the run that has a point's model; None if it was not delivered yet."""
    found = client.search_runs(
        [study.info.experiment_id],
        # Other people may deliver to the same server, with studies of the same names.
        f"tags.`{tags.PARENT}` = '{study.info.run_id}' and "
        f"tags.`{tags.JOURNAL}` = {in_filter(point['run'])}",
        max_results=1,
    )
    return found[0] if found else None


def _in_words(point: Point) -> str:
    confirmed = "" if _is_confirmed(point) else ", not confirmed"
    known = ("parameters", ACCURACY)
    others = [f", {name} {number(v)}" for name, v in point["values"].items() if name not in known]
    return (
        f"trial {point['trial']}: {_parameters(point):,.0f} parameters, validation accuracy "
        f"{_accuracy(point):.4f}{confirmed}{''.join(others)}"
    )


def _is_confirmed(point: Point) -> bool:
    # Fronts of versions before 0.7.1 have no `seeds`.
    return bool(point.get("seeds", point["confirmed"] is not None))


def _parameters(point: Point) -> float:
    return float(point["values"]["parameters"])


def _accuracy(point: Point) -> float:
    """Return the mean over fresh seeds, if that is of the accuracy, or else the first score.

    It has the four digits that are shown, so that what is shown can be typed.
    """
    first = point["values"][ACCURACY]
    return round(float(first if point["confirmed"] is None else point["confirmed"]), 4)


def _range(points: list[Point], of: Any, form: str) -> str:
    values = [of(point) for point in points]
    return f"{min(values):{form}} to {max(values):{form}}"
