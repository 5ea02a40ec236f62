"""Views of a study in the MLflow UI: which runs, which columns, which charts.

MLflow keeps a view as a tag of the experiment, and opens it by the name of the tag in the address.
The format of the tag is the MLflow UI's own, and is not documented. The test of this module opens
each view in a browser, so that it fails if a newer MLflow has another format.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

from mnist_cnn.tracking import tags
from mnist_cnn.tracking.client import in_filter, valid_name
from mnist_cnn.tracking.journal import Event

TAG, SHARED = "mlflow.sharedViewState.", "viewStateShareKey"
BEST, CURVES, PARAMETERS = "best trials", "learning curves", "parameters"
PAIR, STUDIES = "winner against baseline", "all studies"
TABLES = (BEST, STUDIES)  # the other views are charts
TITLES = (BEST, CURVES, PARAMETERS, PAIR, STUDIES)
SHOWN_PARAMETERS = 8
PAGE = "workflowType=machine_learning"  # without it, MLflow's menu is that for language models

View = dict[str, Any]


def key(study: str, title: str) -> str:
    """Return the key of a view: the end of its tag's name, which is also in its address."""
    slug = title.replace(" ", "-")
    return slug if title == STUDIES else f"{study}.{slug}"


def tags_of(study: str, known: Iterable[str]) -> list[str]:
    """Return which of the known tags of MLflow's experiment hold views of this study alone."""
    return [tag for tag in known if tag.startswith(f"{TAG}{study}.")]


def address(experiment_id: str, study: str, title: str) -> str:
    """Return the part of a view's address that follows the server's."""
    mode = "" if title in TABLES else "&compareRunsMode=CHART"
    return f"/#/experiments/{experiment_id}/runs?{PAGE}&{SHARED}={quote(key(study, title))}{mode}"


def addresses(experiment_id: str, study: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of a study's views by title, see `address`.

    Args:
        experiment_id: The id of MLflow's experiment.
        study: The name of the study.
        known: The tags of MLflow's experiment. Views that are not among them are left out.
    """
    titles = [title for title in TITLES if TAG + key(study, title) in known]
    return {title: address(experiment_id, study, title) for title in titles}


def listed(views: Mapping[str, str], server: str) -> list[str]:
    """Return a line to print for each address of a view."""
    return [f"  {title:{len(PAIR)}}  {server}{address}" for title, address in views.items()]


def view_tags(study: str, event: Event, winner: str | None, baseline: str | None) -> dict[str, str]:
    """Return the tags of MLflow's experiment that hold the views of a study.

    There are as many hyperparameters in a view as fit into a tag, the most important first.

    Args:
        study: The name of the study.
        event: The event `views` of its journal.
        winner: The id of the winner's run.
        baseline: The id of the run of the best baseline. Without these two, there is no view of the
            winner against the baseline.
    """
    found = {}
    for title in TITLES:
        for count in range(SHOWN_PARAMETERS, -1, -1):
            view = _view(title, study, event, count, winner, baseline)
            text = json.dumps(view, ensure_ascii=False, separators=(",", ":"))
            if view and len(text) <= MAX_EXPERIMENT_TAG_VAL_LENGTH:
                found[TAG + key(study, title)] = text
                break
    return found


def _view(
    title: str, study: str, event: Event, count: int, winner: str | None, baseline: str | None
) -> View | None:
    """Return a view with `count` hyperparameters; None if the study has nothing to show in it."""
    score, curve = valid_name(event["score"]), valid_name(event["curve"])
    own = f"tags.`{tags.STUDY}` = {in_filter(study)} and tags.{tags.KIND} = 'trial'"
    if title == BEST:
        return _table(own, event, count, [])
    if title == CURVES:
        return _charts(own, event, [_line(curve)])
    if title == PARAMETERS and event["shared"][:count]:
        parameters = [valid_name(name) for name in event["shared"][:count]]
        return _charts(own, event, [_parallel(parameters, score)])
    if title == PAIR and winner and baseline:
        pair = f"attributes.run_id IN ('{winner}', '{baseline}')"
        return _charts(pair, event, [_difference(baseline), _line(curve)])
    # A search that has just begun leaves the columns as an earlier study has set them.
    if title == STUDIES and event["note"]:
        return _table(f"tags.{tags.KIND} = 'trial'", event, count, [f"tags.`{tags.STUDY}`"])
    return None


def _table(runs: str, event: Event, count: int, more: list[str]) -> View:
    metrics = [event["score"], *event["costs"]]
    columns = [f"metrics.`{valid_name(name)}`" for name in metrics]
    columns += [f"params.`{valid_name(name)}`" for name in event["parameters"][:count]]
    shown = more + columns
    wide = {columns[0]: 160}  # pixels; without them, the name of the score would be cut off
    return _runs(runs, event) | {
        "selectedColumns": shown,
        "columnOrder": shown,
        "columnWidths": wide,
    }


def _charts(runs: str, event: Event, charts: list[View]) -> View:
    """Return a view of charts. MLflow adds its own, in the section `Model metrics`."""
    size = {"columns": 1, "cardHeight": 480}
    section = {"uuid": "own", "name": "mnist-cnn", "display": True} | size
    others = {"uuid": "others", "name": "Model metrics", "display": False}
    plain = {"isReordered": False, "deleted": False, "isGenerated": False}
    placed = [
        {"uuid": f"chart-{place}", "metricSectionId": "own", "deleted": False, "isGenerated": False}
        | chart
        for place, chart in enumerate(charts)
    ]
    return _runs(runs, event) | {
        "compareRunCharts": placed,
        "compareRunSections": [section | plain, others | plain],
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def _runs(runs: str, event: Event) -> View:
    return {
        "searchFilter": runs,
        "orderByKey": f"metrics.`{valid_name(event['score'])}`",
        "orderByAsc": not event["maximize"],
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }


def _line(metric: str) -> View:
    axis = {"xAxisKey": "step", "useGlobalXaxisKey": False}
    raw = {"lineSmoothness": 0, "useGlobalLineSmoothing": False}
    return {"type": "LINE", "metricKey": metric} | axis | raw


def _parallel(parameters: list[str], score: str) -> View:
    chart = {"type": "PARALLEL", "selectedParams": parameters, "selectedMetrics": [score]}
    return chart | {"showAllRuns": True}


def _difference(baseline: str) -> View:
    return {
        "type": "DIFFERENCE",
        "chartName": "Winner against baseline",
        "compareGroups": ["Model metrics", "Parameters"],
        "showChangeFromBaseline": True,
        "showDifferencesOnly": True,
        "baselineColumnUuid": baseline,
    }
