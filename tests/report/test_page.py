"""The report: every study has one, it holds all plots, and it loads nothing else."""

import json
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from made_study import (
    COMPLETE,
    FAIL,
    SMALL_STUDIES,
    finished_trial,
    made_study,
    searched_study,
    study_with,
)
from optuna.trial import TrialState
from PIL import Image

from mnist_cnn.experiment import Confirm, Maximize, Minimize
from mnist_cnn.report import confirmation_table, result_names, study_run, terminal
from mnist_cnn.report.description import NO_MODEL, configuration, description
from mnist_cnn.report.text import difference, short_value
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.tracking.sync import Deliverer

ACCURACY, LOSS = Maximize("val_accuracy"), Minimize("val_loss")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A study with trials of all kinds and confirmations, and the page of its report."""
    confirm = Confirm(trials=2, seeds=2, epochs=32)
    study = searched_study(tmp_path_factory.mktemp("searched"), trials=16, confirm=confirm)
    winner = candidates(study)[0]
    (winner.model.parent / "delivered.json").write_text(json.dumps({"run": "0123abcd"}))
    study_run.write_report(study, study_run.begin(study), candidates(study))
    return study, (study.folder / "report.html").read_text()


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_all_plots_and_loads_nothing(searched):
    study, text = searched
    page = Page(text)
    shown = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [attributes["alt"] for attributes in shown] == [
        "Optimisation history",
        "Confirmation",
        "Importances",
        "Parallel coordinates",
        "Slices",
        "Learning curves",
        "Timeline",
    ]
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in shown)
    asking = {name for _, attributes in page.tags for name in attributes} & {"href", "srcset"}
    assert not asking and not {tag for tag, _ in page.tags} & {"script", "link", "iframe"}
    assert "url(" not in text and "@import" not in text and "default-src 'none'" in text
    events, _ = read(study.folder)
    logged = [event["path"] for event in events if event["event"] == "artifact"]
    assert logged[-1] == "report.html" and len(logged) == len(shown) + 1
    assert all((study.folder / path).exists() for path in logged)


def test_the_page_names_the_winner_its_configuration_and_the_next_commands(searched):
    study, text = searched
    winner = candidates(study)[0]
    page = Page(text)
    assert f"The winner: trial {winner.trial.number}" in page.text
    assert "make promote EXPERIMENT=mnist" in page.text
    assert "mnist-cnn replay 0123abcd" in page.text
    values = configuration(study, winner)
    assert {"blocks", "dense", "optimizer"} < set(values)
    assert all(f"{name} {short_value(value)}" in page.text for name, value in values.items())
    assert difference(confirmation_table.optimism(study.objective, winner)) in page.text


@pytest.mark.parametrize("why", ["plan", "no model"])
def test_a_model_that_cannot_be_promoted_is_not_offered(tmp_path, why):
    study = study_with(tmp_path, SMALL_STUDIES["one trial"], ACCURACY)
    (winner,) = candidates(study)
    reason = "Could not locate class <Mine>"
    if why == "plan":
        study = replace(study, plan=replace(study.plan, unserved=reason))
    else:
        write_end(Journal(winner.model.parent), "COMPLETE", model=None)
        reason = NO_MODEL
    study_run.write_report(study, study_run.begin(study), [winner])
    page = Page((study.folder / "report.html").read_text())
    told = description(study, [winner])
    assert reason in page.text and reason in told
    assert "make promote" not in page.text + told
    assert "mnist-cnn replay" in page.text


def test_foreign_text_is_escaped(searched):
    _, text = searched
    page = Page(text)
    assert "ValueError: <b>no</b> room & no time" in page.text
    assert "<script>x</script>" in page.text
    assert "<b>no" not in text and "<script" not in text


def test_failures_with_the_same_reason_share_a_row(tmp_path):
    study = made_study(tmp_path)
    for number in range(3):
        reason = f"TrainingFailed: the loss became nan in epoch {number}"
        study.trials.optuna_study.add_trial(finished_trial(number, None, FAIL, reason=reason))
    study.trials.optuna_study.add_trial(
        finished_trial(3, None, FAIL, reason="ValueError: too deep")
    )
    study_run.write_report(study, study_run.begin(study), [])
    text = Page((study.folder / "report.html").read_text()).text
    assert "3TrainingFailed: the loss became nan in epoch 00, 1, 2" in text
    assert "1ValueError: too deep3" in text


def test_the_page_suits_dark_mode_and_narrow_screens(searched):
    _, text = searched
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in Page(
        text
    ).tags


@pytest.mark.parametrize("place", range(len(SMALL_STUDIES)), ids=SMALL_STUDIES)
def test_every_study_has_a_report(place, tmp_path):
    told = list(SMALL_STUDIES.values())[place]
    study = study_with(tmp_path, told, (ACCURACY, LOSS)[place % 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study_run.write_report(study, study_run.begin(study), candidates(study))
    text = Page((study.folder / "report.html").read_text()).text
    assert "could not be drawn" not in text
    assert ("No trial is complete, so" in text) == (not candidates(study))
    assert ("Optimisation history" in text) == bool(told)
    pictures = list(study.folder.glob("*.png"))
    assert len(pictures) >= 2 * bool(told)
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width == 1296


def test_a_plot_that_cannot_be_drawn_is_reported_and_stops_nothing(tmp_path):
    study = study_with(tmp_path, SMALL_STUDIES["without parameters"], ACCURACY)
    (study.folder / "learning_curves.png").mkdir()
    journal = study_run.begin(study)
    study_run.write_report(study, journal, candidates(study))
    text = (study.folder / "report.html").read_text()
    assert "This plot could not be drawn: IsADirectoryError" in text
    assert "learning_curves.png" not in [event.get("path") for event in read(study.folder)[0]]


def test_tags_of_an_earlier_winner_lose_their_text(tmp_path):
    study = study_with(tmp_path, SMALL_STUDIES["nothing in common"], ACCURACY)
    journal = study_run.begin(study)
    winner, earlier = candidates(study)[:2]
    study_run._write_result(study, journal, [earlier])
    journal.write("tags", tags={result_names.MODEL_PROBLEM: "it cannot be exported"})
    study_run._write_result(study, journal, [winner])
    told = [event["tags"] for event in read(study.folder)[0] if event["event"] == "tags"]
    found = {name: text for tags in told for name, text in tags.items()}
    assert found["best.param.p8"] == "0.01" and found["best.param.p7"] == ""
    assert found[result_names.MODEL_PROBLEM] == ""


def test_without_a_complete_trial_the_report_is_written_and_the_message_names_it(tmp_path):
    study = study_with(tmp_path, [([], FAIL, {})] * 3, ACCURACY)
    assert study_run.publish(study, study_run.begin(study), None) is None
    assert str(study.folder / "report.html") in terminal.nothing_completed(study)


def test_if_trials_only_lacked_time_the_failures_beside_them_are_not_the_cause(tmp_path):
    study = study_with(tmp_path, [([], FAIL, {})], ACCURACY)
    for number in range(1, 6):
        trial = finished_trial(number, None, TrialState.PRUNED, reported=[0.5])
        trial.set_user_attr(STOPPED, {})
        study.trials.optuna_study.add_trial(trial)
    message = terminal.nothing_completed(study)
    assert "no trial was complete in time; the same command continues the study" in message
    assert message.endswith("1 failed; trial 0: unknown")


def test_if_all_trials_were_pruned_they_did_not_lack_time(tmp_path):
    study = study_with(tmp_path, [([0.5], TrialState.PRUNED, {})] * 2, ACCURACY)
    assert "no trial completed, 2 pruned; trial 0: unknown" in terminal.nothing_completed(study)


def test_a_search_ends_with_the_path_of_the_report(searched, monkeypatch):
    study, _ = searched
    monkeypatch.chdir(study.folder.parents[2])
    lines = terminal.summary(study, Deliverer("mnist", study.folder, study.folder))
    assert "report mlruns/checkpoints/mnist-1/report.html" in lines
    assert lines[-1].endswith("make promote EXPERIMENT=mnist")


@pytest.mark.parametrize("uri", ["http://ada:hunter2@host:5000/mlflow/", None])
def test_a_search_ends_with_the_addresses_of_its_views(searched, monkeypatch, uri):
    study, _ = searched
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    deliverer = Deliverer("mnist", study.folder, study.folder)
    deliverer._delivery = SimpleNamespace(views={"best trials": "/#/experiments/1"})
    lines = terminal.summary(study, deliverer)
    place = next(line for line in lines if line.startswith("  best trials "))
    if uri:
        assert place.endswith(" http://***@host:5000/mlflow/#/experiments/1")
        assert not any("make ui" in line for line in lines)
    else:
        assert place.endswith(" http://127.0.0.1:5000/#/experiments/1")
        assert "look   make ui, which opens the first of" in lines


def test_a_vertical_bar_in_a_name_does_not_break_the_table(tmp_path):
    study = study_with(tmp_path, [([0.5], COMPLETE, {"units[model=cnn|resnet]": 0.01})], ACCURACY)
    last = description(study, candidates(study)).splitlines()[-1]
    assert last.count("|") - last.count("\\|") == 4


def test_waiting_and_running_trials_are_left_out(tmp_path):
    study = study_with(tmp_path, SMALL_STUDIES["one trial"], ACCURACY)
    study.trials.optuna_study.enqueue_trial({"rate": 0.5})
    study.trials.optuna_study.ask()
    study.trials.optuna_study.enqueue_trial({"rate": 0.5})
    states = [trial.state for trial in study.trials.optuna_study.trials[-2:]]
    assert states == [TrialState.RUNNING, TrialState.WAITING]
    study_run.write_report(study, study_run.begin(study), candidates(study))
    assert "trials: 1 complete" in (study.folder / "report.html").read_text()
