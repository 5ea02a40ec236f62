"""The views of a study in MLflow's own pages, in a real browser: a newer MLflow may break them."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from projects import clean_environment, copy_database
from serving_project import free_port

from mnist_cnn.tracking import views
from mnist_cnn.tracking.client import connect, experiment_id, valid_name
from mnist_cnn.tracking.delivery import Delivery
from mnist_cnn.tracking.journal import Journal

EXPERIMENT = "views"
ODD = ("`tick`", 'a "quote"', "it's", "größe", "block.1/units", "hp.seed", "a b", "x" * 300)
FACTS = {
    "note": "**the winner** is trial 2",
    "curve": "val_accuracy",
    "score": "best_val_accuracy",
    "maximize": True,
    "costs": ["train_seconds"],
    "parameters": list(ODD),
    "shared": list(ODD),
    "winner": "trial-00002",
    "baseline": "trial-00000",
}


def write_study(mlruns, number):
    """Write the journals of a study, of which each trial is better than the one before."""
    folder = mlruns / "checkpoints" / f"{EXPERIMENT}-{number}"
    study = Journal(folder)
    name = folder.name
    study.write("start", name=name, tags={"kind": "study", "optuna.study": name}, params={})
    for trial in range(3):
        journal = Journal(folder / f"trial-{trial:05d}")
        tags = {"kind": "trial", "optuna.trial": str(trial)}
        params = dict.fromkeys(ODD, (trial + 1) * 0.125)
        journal.write("start", name=f"trial {trial:03d}", tags=tags, params=params)
        for epoch in (1, 2):
            journal.metrics(epoch, {"val_accuracy": 0.5 + trial / 10 + epoch / 100})
        summary = {"best_val_accuracy": 0.52 + trial / 10, "train_seconds": 9.0 - trial}
        journal.write("end", status="FINISHED", tags={}, step=2, metrics=summary)
    study.write("views", **FACTS)
    study.write("end", status="FINISHED", tags={}, step=0, metrics={})
    return folder


# What is in a tag


@pytest.mark.parametrize("name", ["ö" * 240, "x" * 240, "`'\"" * 80])
def test_a_view_has_as_many_parameters_as_a_tag_holds(name):
    names = [f"{number}{name}" for number in range(100)]
    event = FACTS | {"parameters": names, "shared": names}
    found = views.view_tags("mnist-1", event, "a" * 32, "b" * 32)
    assert len(found) == len(views.TITLES)
    for tag, text in found.items():
        assert len(tag) <= 250 and len(text) <= 5000
        json.loads(text)
    columns = json.loads(found["mlflow.sharedViewState.mnist-1.best-trials"])["selectedColumns"]
    assert 2 + 4 <= len(columns) < 2 + len(names)


def test_what_a_study_does_not_have_is_no_view():
    event = FACTS | {"shared": []}
    keys = [tag.rpartition(".")[2] for tag in views.view_tags("mnist-1", event, "a" * 32, None)]
    assert keys == ["best-trials", "learning-curves", "all-studies"]


def test_a_study_that_begins_has_views_of_its_own_and_leaves_that_of_all():
    event = FACTS | {"note": "", "parameters": [], "shared": []}
    keys = [tag.rpartition(".")[2] for tag in views.view_tags("mnist-1", event, None, None)]
    assert keys == ["best-trials", "learning-curves"]


def test_the_best_of_an_objective_that_is_minimized_come_first():
    found = views.view_tags("mnist-1", FACTS | {"maximize": False}, None, None)
    view = json.loads(found["mlflow.sharedViewState.mnist-1.best-trials"])
    assert view["orderByAsc"] and view["orderByKey"] == "metrics.`best_val_accuracy`"


def test_a_view_that_a_study_no_longer_has_is_deleted(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_database(tmp_path)
    client = connect(tmp_path)
    number = experiment_id(client, EXPERIMENT, tmp_path)

    def known():
        return set(client.get_experiment(number).tags)

    # Of another study, whose name begins with that of this one.
    client.set_experiment_tag(number, f"{views.TAG}views-10.winner-against-baseline", "{}")
    folder = write_study(tmp_path, 1)
    Delivery(client, number, folder).deliver()
    before = known()
    Journal(folder).write("views", **FACTS | {"winner": None})  # the baseline has won
    Delivery(client, number, folder).deliver()
    assert before - known() == {f"{views.TAG}views-1.winner-against-baseline"}


# What the pages make of it


@pytest.fixture(scope="module")
def page(mlruns):
    """A browser's page and the addresses that `mnist-cnn ui` prints."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no browser: `apt-get install chromium` to look at MLflow's pages")
    client = connect(mlruns)
    number = experiment_id(client, EXPERIMENT, mlruns)
    for study in (1, 2):
        Delivery(client, number, write_study(mlruns, study)).deliver()
    command = [sys.executable, "-m", "mnist_cnn", "ui", "--port", str(free_port())]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=mlruns.parent, env=clean_environment(), **pipe) as ui:
        try:
            lines = iter(ui.stdout.readline, "")
            found = {}
            while len(found) < len(views.TITLES):
                if line := re.fullmatch(r"  (.*?)  +(http:\S+)\n", next(lines)):
                    found[line[1]] = line[2]
            with playwright.sync_playwright() as driver:
                options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
                browser = driver.chromium.launch(executable_path=chromium, args=options)
                page = browser.new_page(viewport={"width": 1900, "height": 1200})
                page.set_default_timeout(60_000)
                page.addresses = found
                page.runs = {
                    run.data.tags["journal"]: run.info.run_id
                    for run in client.search_runs([number])
                }
                yield page
        finally:
            ui.terminate()


def opened(page, title):
    page.goto("about:blank")
    page.goto(page.addresses[title])
    page.get_by_text("You're viewing a shared view").wait_for()
    page.get_by_text("matching runs").wait_for()
    return page


def cells(page, column):
    """What stands in a column of the table, from top to bottom."""
    found = page.locator(
        f".ag-center-cols-container [col-id='{column}'], "
        f".ag-pinned-left-cols-container [col-id='{column}']"
    )
    found.first.wait_for()
    rows = [(one.bounding_box()["y"], one.inner_text().strip()) for one in found.all()]
    return [text for _, text in sorted(rows)]


def test_best_trials_are_this_studys_trials_by_score_with_its_parameters(page):
    opened(page, "best trials")
    scores = cells(page, "metrics.`best_val_accuracy`")
    assert [float(score) for score in scores] == pytest.approx([0.72, 0.62, 0.52])
    assert cells(page, "metrics.`train_seconds`") == ["7", "8", "9"]
    for name in ODD[:4]:
        assert cells(page, f"params.`{valid_name(name)}`") == ["0.375", "0.25", "0.125"]


def test_two_studies_compare_in_one_view(page):
    opened(page, "all studies")
    assert sorted(cells(page, "tags.`optuna.study`")) == ["views-1"] * 3 + ["views-2"] * 3
    scores = [float(score) for score in cells(page, "metrics.`best_val_accuracy`")]
    assert scores == sorted(scores, reverse=True)


def test_learning_curves_are_lines_over_epochs(page):
    opened(page, "learning curves")
    chart = page.locator(".js-plotly-plot")
    chart.locator(".trace .js-line").nth(2).wait_for(state="attached")
    lines = chart.evaluate("chart => chart.data.map(({x, y}) => [[...x], [...y]])")
    for trial in range(3):
        assert [[1, 2], [0.51 + trial / 10, 0.52 + trial / 10]] in lines
    assert chart.get_by_text("Step").count() == 1


def test_parameters_are_the_axes_of_parallel_coordinates(page):
    opened(page, "parameters")
    page.get_by_text("Parallel Coordinates").first.wait_for()
    page.locator(".parcoords .dimension").first.wait_for()
    assert page.locator(".parcoords .dimension").count() == 8 + 1


def test_the_winner_stands_beside_the_baseline(page):
    opened(page, "winner against baseline")
    page.get_by_text("2 matching runs").wait_for()
    page.get_by_text("Show change from baseline").wait_for()
    for trial in ("trial 000", "trial 002"):
        assert page.get_by_text(trial, exact=True).count() >= 2  # in the list, in the table


def test_the_links_in_the_description_of_a_study_lead_to_its_views(page):
    server = page.addresses["best trials"].partition("#")[0]
    page.goto(f"{server}#/experiments/1/runs/{page.runs['views-1']}")
    with page.expect_popup() as opening:
        page.get_by_role("link", name="best trials").click()
    opening.value.get_by_text("You're viewing a shared view").wait_for()
    assert len(cells(opening.value, "metrics.`best_val_accuracy`")) == 3
