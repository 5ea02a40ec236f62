"""The report: each picture shows what it says, from any study, and the page needs nothing else."""

import json
import math
import warnings
from html.parser import HTMLParser

import numpy as np
import optuna
import pytest
from made_study import (
    COMPLETE,
    FAIL,
    PRUNED,
    finished_trial,
    made_study,
    searched_study,
    write_journal,
)
from matplotlib.collections import LineCollection, PolyCollection
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from PIL import Image

from mnist_cnn.charts import style
from mnist_cnn.experiment import Confirm, Maximize, Minimize
from mnist_cnn.report import confirmation_table, history, study_plots, study_run, trial_plots
from mnist_cnn.report.page import report_page
from mnist_cnn.report.parallel_coordinates import parallel_coordinates, slices
from mnist_cnn.report.parameter_axis import parameter_axis
from mnist_cnn.report.plots import draw_pictures, important_parameters
from mnist_cnn.report.text import difference, short
from mnist_cnn.report.timeline import timeline
from mnist_cnn.study.confirmation import Candidate, candidates
from mnist_cnn.tracking.journal import read
from mnist_cnn.tracking.sync import Deliverer

ACCURACY, LOSS = Maximize("val_accuracy"), Minimize("val_loss")
RATE = FloatDistribution(1e-4, 1e-1, log=True)


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


def test_the_page_has_all_pictures_inside_and_asks_for_nothing_outside(searched):
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
        "Time line",
    ]
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in shown)
    asking = {name for _, attributes in page.tags for name in attributes} & {"href", "srcset"}
    assert not asking and not {tag for tag, _ in page.tags} & {"script", "link", "iframe"}
    assert "url(" not in text and "@import" not in text and "default-src 'none'" in text
    events, _ = read(study.folder)
    logged = [event["path"] for event in events if event["event"] == "artifact"]
    assert logged[-1] == "report.html" and len(logged) == len(shown) + 1
    assert all((study.folder / path).exists() for path in logged)


def test_the_page_names_the_winner_its_configuration_and_what_to_type(searched):
    study, text = searched
    winner = candidates(study)[0]
    page = Page(text)
    assert f"The winner: trial {winner.trial.number}" in page.text
    assert "make promote EXPERIMENT=mnist" in page.text
    assert "mnist-cnn replay 0123abcd" in page.text
    values = study_run.configuration(study, winner)
    assert {"blocks", "dense", "optimizer"} < set(values)
    assert all(f"{name} {short(value)}" in page.text for name, value in values.items())
    assert difference(confirmation_table.flattery(study, winner)) in page.text


def test_what_others_wrote_is_text_on_the_page_and_no_markup(searched):
    _, text = searched
    page = Page(text)
    assert "ValueError: <b>no</b> room & no time" in page.text
    assert "<script>x</script>" in page.text
    assert "<b>no" not in text and "<script" not in text


def test_failures_of_one_reason_are_one_line(tmp_path):
    study = made_study(tmp_path)
    for number in range(3):
        reason = f"TrainingFailed: the loss became nan in epoch {number}"
        study.optuna_study.add_trial(finished_trial(number, None, FAIL, reason=reason))
    study.optuna_study.add_trial(finished_trial(3, None, FAIL, reason="ValueError: too deep"))
    study_run.write_report(study, study_run.begin(study), [])
    text = Page((study.folder / "report.html").read_text()).text
    assert "3TrainingFailed: the loss became nan in epoch 00, 1, 2" in text
    assert "1ValueError: too deep3" in text


def test_light_dark_and_narrow_screens_are_provided_for(searched):
    _, text = searched
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in Page(
        text
    ).tags


STUDIES = {
    "none at all": [],
    "none complete": [([0.3], PRUNED, {"rate": 0.01}), ([], FAIL, {"rate": 0.02})],
    "one trial": [([0.5, 0.7], COMPLETE, {"rate": 0.01})],
    "all equal": [([0.5, 0.5], COMPLETE, {"rate": 0.01})] * 12,
    "without parameters": [([0.5, 0.5 + n / 100], COMPLETE, {}) for n in range(9)],
    "one parameter": [([0.5 + n / 100], COMPLETE, {"rate": 10 ** (-1 - n / 4)}) for n in range(9)],
    "no numbers": [([math.nan, 0.1 * n], COMPLETE, {"rate": 0.01 + n / 100}) for n in range(4)]
    + [([math.nan], PRUNED, {"rate": 0.01}), ([0.2, math.inf], COMPLETE, {"rate": 0.01})],
    "infinite only": [([math.inf], COMPLETE, {"rate": 0.01 * n + 0.01}) for n in range(4)],
    "a hundred parameters": [
        ([n / 10], COMPLETE, {f"a_rather_long_name/{p}": 0.001 * (n + p + 1) for p in range(100)})
        for n in range(9)
    ],
    "nothing in common": [([n / 10], COMPLETE, {f"p{n}": 0.01}) for n in range(9)],
}


@pytest.mark.parametrize("place", range(len(STUDIES)), ids=STUDIES)
def test_every_study_has_a_report(place, tmp_path):
    told = list(STUDIES.values())[place]
    study = study_of(tmp_path, told, (ACCURACY, LOSS)[place % 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study_run.write_report(study, study_run.begin(study), candidates(study))
    text = Page((study.folder / "report.html").read_text()).text
    assert "Optimisation history" in text and "could not be drawn" not in text
    pictures = list(study.folder.glob("*.png"))
    assert len(pictures) >= 2
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width == 1296


def test_a_picture_that_cannot_be_drawn_is_named_and_stops_nothing(tmp_path):
    study = study_of(tmp_path, STUDIES["without parameters"], ACCURACY)
    (study.folder / "learning_curves.png").mkdir()
    journal = study_run.begin(study)
    study_run.write_report(study, journal, candidates(study))
    text = (study.folder / "report.html").read_text()
    assert "It could not be drawn: IsADirectoryError" in text
    assert "learning_curves.png" not in [event.get("path") for event in read(study.folder)[0]]


def test_without_a_complete_trial_the_report_is_written_and_the_message_leads_to_it(tmp_path):
    study = study_of(tmp_path, [([], FAIL, {})] * 3, ACCURACY)
    assert study_run.publish(study, study_run.begin(study), None) is None
    assert str(study.folder / "report.html") in study_run.nothing_completed(study)


def test_the_end_of_a_search_shows_the_path_of_the_report(searched, monkeypatch):
    study, _ = searched
    monkeypatch.chdir(study.folder.parents[2])
    lines = study_run.summary(study, Deliverer("mnist", study.folder, study.folder))
    assert "report mlruns/checkpoints/mnist-1/report.html" in lines
    assert lines[-1].endswith("make promote EXPERIMENT=mnist")


def test_the_description_keeps_its_table_whole(tmp_path):
    study = study_of(tmp_path, [([0.5], COMPLETE, {"units[model=cnn|resnet]": 0.01})], ACCURACY)
    last = study_run.description(study, candidates(study)).splitlines()[-1]
    assert last.count("|") - last.count("\\|") == 4


@pytest.mark.parametrize(("objective", "sign"), [(ACCURACY, 1), (LOSS, -1)], ids=["max", "min"])
def test_the_confirmation_is_a_table_of_how_far_the_first_scores_were_flattered(
    tmp_path, objective, sign
):
    study = made_study(tmp_path, objectives=(objective,), confirm=Confirm(epochs=9))
    ranked = [
        Candidate(finished_trial(7, [0.90]), (0.80, 0.84), tmp_path),
        Candidate(finished_trial(3, [0.95]), (0.75,), tmp_path),
        Candidate(finished_trial(5, [0.99]), (), tmp_path),
    ]
    first, second = confirmation_table.rows(study, ranked)
    flattered = difference(sign * 0.08)
    assert first == ("7", "0.9000", "0.8200", "0.028", flattered, "0.8000, 0.8400")
    assert second == ("3", "0.9500", "0.7500", "", difference(sign * 0.2), "0.7500")
    words = confirmation_table.in_words(study, ranked)
    assert f"on average over 2 trials 0.14 {'better' if sign > 0 else 'worse'}" in words
    assert "A confirmation has 9 epochs, though, and a trial 6." in words
    assert confirmation_table.in_words(study, ranked[2:]) == ""
    assert "| 7 | 0.9000 | 0.8200 | 0.028 |" in study_run.description(study, ranked)


def test_a_better_trial_that_was_not_confirmed_in_time_is_named(tmp_path):
    study = made_study(tmp_path, confirm=Confirm(trials=2, seeds=1, max_seeds=1))
    for number, value in enumerate((0.95, 0.97)):
        study.optuna_study.add_trial(finished_trial(number, [value]))
    worse, better = (study.folder / f"confirmation-0000{number}-0" for number in (0, 1))
    for folder, score in ((worse, 0.96), (better, 0.98)):
        page = report_page(study, candidates(study), [], [], {}, None)
        if folder == worse:
            assert "The time ended before any trial was confirmed" in page
            assert "make search EXPERIMENT=mnist STUDY=mnist-1 TRIALS=3" in page
        else:
            assert "Trial 1 had a better first score than the winner, but the time ended" in page
        assert "is ahead" not in page
        tags = {"kind": "confirmation", "optuna.trial": folder.name.split("-")[1]}
        write_journal(folder, tags, [(1, 2)], epochs=[{"val_accuracy": score}])
    page = report_page(study, candidates(study), [], [], {}, None)
    assert "The winner: trial 1" in page and "the time ended" not in page


def test_the_history_is_in_the_order_of_finishing_and_the_incumbent_reaches_its_end():
    trials = [
        finished_trial(0, [0.9], minutes=(0, 9)),
        finished_trial(1, [0.5], minutes=(0, 2)),
        finished_trial(2, [0.4], PRUNED, minutes=(2, 10)),
        finished_trial(3, None, FAIL, minutes=(10, 11)),
    ]
    (axes,) = trial_plots.optimisation_history(trials, ACCURACY).axes
    (best,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert best.get_xydata().tolist() == [[0, 0.5], [1, 0.9], [2, 0.9], [3, 0.9]]
    (failed,) = [line for line in axes.lines if "failed" in str(line.get_label())]
    assert list(failed.get_xdata()) == [3]


def test_thousands_of_trials_are_drawn_by_as_many_objects_as_ten():
    counts = []
    for size in (20, 2000):
        params = [{"rate": 1e-4 * 1.001**n, "drop": n % 7 / 10} for n in range(size)]
        domains = {"rate": RATE, "drop": FloatDistribution(0, 1)}
        trials = [
            finished_trial(n, [n / size], params=given, domains=domains, reported=[0.1, n / size])
            for n, given in enumerate(params)
        ]
        axes = [parameter_axis(name, trials, {}) for name in domains]
        drawn = [
            trial_plots.optimisation_history(trials, ACCURACY),
            trial_plots.learning_curves(trials, ACCURACY),
            parallel_coordinates(trials, ACCURACY, axes),
            slices(trials, ACCURACY, axes),
        ]
        counts.append([sum(len(a.get_children()) for a in figure.axes) for figure in drawn])
    assert counts[0] == counts[1]


def trials_with(values, name="x", domain=RATE):
    return [
        finished_trial(n, [n / 10], params={name: value}, domains={name: domain})
        for n, value in enumerate(values)
    ]


def test_a_logarithmic_parameter_has_a_logarithmic_axis():
    axis = parameter_axis("x", trials_with([1e-4, 1e-2, 1e-1]), {})
    assert list(axis.places.values()) == pytest.approx([0, 2 / 3, 1])
    assert {label: place for place, label in axis.ticks} == pytest.approx(
        {"0.0001": 0, "0.001": 1 / 3, "0.01": 2 / 3, "0.1": 1}
    )


def test_choices_lie_evenly_in_their_order_and_true_is_not_one():
    domain = CategoricalDistribution((True, 1, "a", None))
    axis = parameter_axis("x", trials_with(["a", None], domain=domain), {})
    assert [label for _, label in axis.ticks] == ["True", "1", "a", "None"]
    assert [place for place, _ in axis.ticks] == [0.125, 0.375, 0.625, 0.875]
    assert list(axis.places.values()) == [0.625, 0.875]


def test_a_place_in_a_grid_is_shown_as_the_value_there_and_digits_do_not_matter():
    grid = trials_with([2, 0, 1], domain=IntDistribution(0, 3))
    axis = parameter_axis("x", grid, {0: {"x": 128}, 1: {"x": 32}, 2: {"x": 64}})
    assert [label for _, label in axis.ticks] == ["32", "64", "128"]
    assert axis.places[1] < axis.places[2] < axis.places[0]
    tenths = trials_with([0.3], domain=FloatDistribution(0, 0.5, step=0.1))
    axis = parameter_axis("x", tenths, {0: {"x": 0.30000000000000004}})
    assert axis.places[0] == pytest.approx(0.6) and len(axis.ticks) == 6


def test_a_conditional_parameter_is_found_by_its_name_without_conditions():
    name = "units[model=mlp]"
    grid = trials_with([1], name=name, domain=IntDistribution(0, 3))
    axis = parameter_axis(name, grid, {0: {"units": 64, "model": "mlp"}})
    assert [label for _, label in axis.ticks] == ["64"]


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 1, False), (1e-9, 1, True), (0.5, 0.6, True), (2, 2, False), (1, 4000, True)],
)
def test_an_axis_has_a_few_ticks_within_its_range(low, high, log):
    domain = FloatDistribution(low, high, log=log)
    ticks = parameter_axis("x", trials_with([low, high], domain=domain), {}).ticks
    assert (2 if low < high else 1) <= len(ticks) <= 8
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


def test_a_line_is_interrupted_where_its_trial_lacks_a_parameter():
    domains = dict.fromkeys("abcd", RATE)
    whole, broken = dict.fromkeys("abcd", 0.01), {"a": 0.1, "b": 0.1, "d": 0.1}
    trials = [
        finished_trial(n, [value], params=params, domains=domains)
        for n, (value, params) in enumerate([(0.5, whole), (0.4, broken), (0.9, whole)])
    ]
    axes = [parameter_axis(name, trials, {}) for name in domains]
    figure = parallel_coordinates(trials, ACCURACY, axes)
    collections = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    lines = [line[:, 0].tolist() for c in collections for line in c.get_segments()]
    assert sorted(lines) == sorted([[0, 1], [3], [0, 1, 2, 3], [0, 1, 2, 3]])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["a", "b", "c\n(in 2 of 3)", "d"]


@pytest.mark.parametrize(("objective", "best"), [(ACCURACY, 2), (LOSS, 0)], ids=["max", "min"])
def test_better_lines_are_darker_and_later(objective, best):
    trials = [finished_trial(n, [v], params={"x": 0.01, "y": 0.01}, domains={"x": RATE, "y": RATE})
              for n, v in enumerate([0.1, 0.5, 0.9])]  # fmt: skip
    axes = [parameter_axis(name, trials, {}) for name in "xy"]
    shown = parallel_coordinates(trials, objective, axes).axes[0].collections[1]
    brightness = shown.get_colors()[:, :3].sum(axis=1)
    assert list(brightness) == sorted(brightness, reverse=True)
    assert style.complete(trials, objective)[-1].number == best


def test_of_many_parameters_the_greatest_are_shown_and_the_others_summed():
    values = {f"p{n}": (20 - n) / 210 for n in range(20)}
    (axes,) = trial_plots.importances(values).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["the 12 others\ntogether", *[f"p{n}" for n in reversed(range(8))]]
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)


def test_importances_find_the_parameter_that_matters_and_say_nothing_of_chance(tmp_path):
    told = [
        ([abs(n - 10) / 10], COMPLETE, {"good": 0.01 * n, "idle": 0.01 * (n * 7 % 20)})
        for n in range(20)
    ]
    shares = important_parameters(study_of(tmp_path / "a", told, LOSS))
    assert next(iter(shares)) == "good" and sum(shares.values()) == pytest.approx(1)
    for name in ("all equal", "one trial", "none complete", "without parameters"):
        assert important_parameters(study_of(tmp_path / name, STUDIES[name], LOSS)) == {}


def test_runs_side_by_side_lie_in_rows_and_pauses_are_cut_out(tmp_path):
    for number, minutes in enumerate([[(0, 4)], [(1, 3), (600, 604)], [(4, 6)], [(602, 605)]]):
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(tmp_path / f"trial-{number}", tags, minutes)
    figure = timeline(history.run_histories(tmp_path))
    axes = figure.axes[0]
    boxes = [p.get_extents() for c in axes.collections if isinstance(c, PolyCollection)
             for p in c.get_paths()]  # fmt: skip
    found = sorted((round(box.ymin + 0.38), box.xmin, box.xmax) for box in boxes)
    expected = [(0, 0, 4), (0, 4, 6), (0, 6, 10), (1, 1, 3), (1, 8, 11)]
    assert np.allclose(found, expected)
    assert [text.get_text() for text in axes.texts if "pause" in text.get_text()] == [
        "pause, 10 hours"
    ]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["complete (4)", "interrupted (1)"]
    assert "(minutes)" in axes.get_xlabel()


def test_runs_of_known_workers_lie_in_the_rows_of_these(tmp_path):
    for number, worker in enumerate(["2", "1", "2"]):
        folder = tmp_path / f"trial-{number}"
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(folder, tags, [(3 * number, 3 * number + 3)], worker=worker)
    axes = timeline(history.run_histories(tmp_path)).axes[0]
    rows = {
        round(text.get_position()[1]): text.get_text() for text in axes.texts if text.get_text()
    }
    assert axes.get_ylabel() == "worker"
    assert rows == {0: "1", 1: "2"}  # one after another, and yet not in one row


def test_a_killed_run_ends_with_the_last_thing_it_wrote(tmp_path):
    tags = {"kind": "trial", "optuna.trial": "4"}
    write_journal(tmp_path / "trial-4", tags, [(0, 2)], values={"a": 1}, epochs=[{"loss": 1.0}] * 2)
    journal = tmp_path / "trial-4" / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    again = [
        dict(events[0], time=events[-1]["time"] + 60_000),
        dict(events[-1], time=events[-1]["time"] + 90_000),
    ]
    later = {"event": "params", "time": again[0]["time"], "params": {"b": 2}}
    lines = [*events[:-1], again[0], later, again[1]]
    journal.write_text("".join(json.dumps(event) + "\n" for event in lines))
    (tmp_path / "trial-5").mkdir()  # lost before it wrote anything
    (run,) = history.run_histories(tmp_path)
    assert [stretch.end - stretch.start for stretch in run.stretches] == [0, 30]
    assert run.seconds == 30 and run.values == {"a": 1, "b": 2} and set(run.epochs) == {1, 2}


@pytest.mark.parametrize(
    ("objectives", "front"),
    [
        ((Maximize("a"), Minimize("b")), [0, 2, 3]),
        ((Minimize("a"), Minimize("b")), [0]),
        ((Maximize("a"), Maximize("b")), [4, 3]),
        ((Minimize("a"), Maximize("b"), Minimize("c")), [0, 1, 4]),
    ],
)
def test_the_front_is_of_the_trials_that_no_other_dominates(objectives, front):
    points = [(1, 1), (2, 5), (3, 2), (5, 4), (4, 6), (math.inf, 1)]
    trials = [finished_trial(n, [*point, 0][: len(objectives)]) for n, point in enumerate(points)]
    if objectives[1].direction == "minimize" and objectives[0].direction == "maximize":
        trials = trials[:5]
    (axes,) = study_plots.pareto_front(trials, objectives).axes
    labels = [int(text.get_text()) for text in axes.texts]
    assert sorted(labels) == sorted(front)
    assert "more is better" in axes.get_xlabel() + axes.get_ylabel() or front == [0]
    assert ("first two of 3" in axes.get_title()) == (len(objectives) == 3)


def test_several_objectives_have_their_front_and_the_curves_from_the_journals(tmp_path):
    study = made_study(tmp_path, objectives=(ACCURACY, Minimize("parameters")))
    for number in range(3):  # Optuna takes no reports of such trials
        study.optuna_study.add_trial(finished_trial(number, [0.9, 500.0]))
        epochs = [{"val_accuracy": value, "loss": 1.0} for value in (0.5, 0.7, 0.9)]
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(study.trial_folder(number), tags, [(0, 1)], epochs=epochs)
    pictures = draw_pictures(study, [], history.run_histories(study.folder))
    assert [picture.title for picture in pictures] == [
        "Optimisation history",
        "Pareto front",
        "Learning curves",
        "Time line",
    ]
    told = [finished_trial(number, [0.9, 500.0], reported=(0.5, 0.7, 0.9)) for number in range(3)]
    style.save(trial_plots.learning_curves(told, ACCURACY), tmp_path / "told.png")
    assert pictures[2].path.read_bytes() == (tmp_path / "told.png").read_bytes()


def test_the_confirmation_shows_first_scores_means_and_what_was_flattered(tmp_path):
    ranked = [
        Candidate(finished_trial(7, [0.98]), (0.97, 0.99), tmp_path),
        Candidate(finished_trial(3, [0.99]), (0.96,), tmp_path),
        Candidate(finished_trial(5, [0.95]), (), tmp_path),
    ]
    figure = study_plots.confirmations(ranked, ACCURACY, (8, 32))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["trial 7 (winner)\n+0", "trial 3\n-0.0300"]
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "(8 epochs)" in words and "(32 epochs)" in words


def test_waiting_and_running_trials_do_not_disturb(tmp_path):
    study = study_of(tmp_path, STUDIES["one trial"], ACCURACY)
    study.optuna_study.enqueue_trial({"rate": 0.5})
    study.optuna_study.ask()
    study.optuna_study.enqueue_trial({"rate": 0.5})
    states = [trial.state for trial in study.optuna_study.trials[-2:]]
    assert states == [TrialState.RUNNING, TrialState.WAITING]
    study_run.write_report(study, study_run.begin(study), candidates(study))
    assert "trials: 1 complete" in (study.folder / "report.html").read_text()


def study_of(folder, told, objective):
    """A study with these trials: what each reported, how it ended, its parameters."""
    study = made_study(folder, objectives=(objective,))
    for number, (reported, state, params) in enumerate(told):
        last = reported[-1] if reported and not math.isnan(reported[-1]) else None
        study.optuna_study.add_trial(
            finished_trial(
                number,
                None if state == FAIL or last is None else [last],
                state,
                params=params,
                domains=dict.fromkeys(
                    params, RATE if "rate" in params else FloatDistribution(0, 1)
                ),
                reported=reported,
                minutes=(number, number + 1),
            )
        )
        write_journal(
            study.trial_folder(number),
            {"kind": "trial", "optuna.trial": str(number)},
            [(number, number + 1)],
            values=params,
            state=state.name,
        )
    return study


def test_made_studies_are_what_optuna_would_store(tmp_path):
    study = searched_study(tmp_path, trials=16)
    assert {trial.state for trial in study.finished()} == {COMPLETE, PRUNED, FAIL}
    optuna.importance.get_param_importances(study.optuna_study)
