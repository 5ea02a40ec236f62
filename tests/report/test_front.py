"""The front as a table, as data and as a hypervolume over time; constraints in the report."""

import json

import numpy as np
import pytest
from made_study import (
    PRUNED,
    confirm_trial,
    finished_trial,
    made_study,
    searched_study,
    write_journal,
)

from mnist_cnn.experiment import Confirm, Maximize, Minimize
from mnist_cnn.report import front, study_run, terminal
from mnist_cnn.report.description import description
from mnist_cnn.report.tally import tally
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.confirmation import outstanding
from mnist_cnn.tracking.journal import read

TWO = (Maximize("val_accuracy"), Minimize("parameters"))
# Trial 3 is dominated by trial 1, and trial 4 breaks a constraint.
POINTS = [(0.95, 1_000), (0.99, 9_000), (0.97, 3_000), (0.98, 9_500), (0.999, 30_000)]


@pytest.fixture
def study(tmp_path):
    """A study with a front of three points, the middle one confirmed on two seeds."""
    study = made_study(tmp_path, TWO, Confirm(trials=2, seeds=2, max_seeds=3))
    for number, point in enumerate(POINTS):
        trial = finished_trial(number, point, minutes=(number, number + 1))
        trial.set_constraint("parameters at most 20,000", point[1] / 20_000 - 1)
        study.trials.optuna_study.add_trial(trial)
        metrics = {"val_accuracy": point[0], "parameters": point[1], "multiply_accumulates": 10.0}
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(
            study.trials.folder(number), tags, [(number, number + 1)], values={}, epochs=[metrics]
        )
    for seed, score in enumerate((0.965, 0.975)):
        tags = {"kind": "confirmation", "optuna.trial": "2"}
        write_journal(confirm_trial(study, 2, seed, score), tags, [(9, 10)], values={})
    return study


def test_the_ranking_begins_with_the_front_and_leaves_out_what_breaks_a_constraint(study):
    assert [trial.number for trial in study.front()] == [1, 2, 0]
    assert [trial.number for trial in study.ranking()] == [1, 2, 0, 3]


def test_the_points_that_are_confirmed_are_spread_over_the_front_and_do_not_race(study):
    planned = {(item.trial.number, item.seed) for item in outstanding(study)}
    assert planned == {(1, 0), (1, 1), (0, 0), (0, 1)}  # no third seed for those that may tie
    all_of_them = Confirm(trials=9, seeds=1, max_seeds=1)
    object.__setattr__(study.plan, "confirm", all_of_them)
    assert {item.trial.number for item in outstanding(study)} == {0, 1}  # 2 has its seed


def test_the_table_has_first_scores_and_confirmed_ones(study):
    assert front.columns(study)[:3] == ("trial", "val_accuracy", "parameters")
    assert front.rows(study, candidates(study)) == [
        ("1", "0.9900", "9,000", "", ""),
        ("2", "0.9700", "3,000", "0.9700", "0.9650, 0.9750"),
        ("0", "0.9500", "1,000", "", ""),
    ]


def test_promote_finds_the_run_of_each_point(study):
    told = json.loads(front.as_json(study, candidates(study)))
    assert told["metrics"] == ["val_accuracy", "parameters"]
    assert [point["trial"] for point in told["points"]] == [0, 1, 2]
    first, _, confirmed = told["points"]
    assert (first["confirmed"], first["run"]) == (None, "mnist-1/trial-00000")
    assert confirmed["confirmed"] == pytest.approx(0.97)
    assert confirmed["run"] == "mnist-1/confirmation-00002-1"  # the better seed's model
    assert confirmed["values"]["parameters"] == 3_000


def test_the_hypervolume_is_that_of_boxes_and_never_falls(study):
    found = front.hypervolumes(study.trials.finished(), TWO)
    assert [trial.number for trial, _ in found] == [0, 1, 2, 3]
    # From 0.99 to 0.95 is one unit, and so is from 1,000 to 9,500 parameters. The box has 1.1 each.
    largest, middle = 8_000 / 8_500, 2_000 / 8_500
    smallest_alone = 0.1 * 1.1  # the end of the front counts, although its accuracy is the worst
    with_largest = smallest_alone + 1.0 * (1.1 - largest)
    with_middle = with_largest + 0.5 * (largest - middle)
    volumes = np.array([smallest_alone, with_largest, with_middle, with_middle]) / 1.1**2
    np.testing.assert_allclose([value for _, value in found], volumes)


def test_the_hypervolume_follows_the_order_in_which_trials_ended():
    last, first = (
        finished_trial(number, point, minutes=(number, 9 - number))
        for number, point in enumerate([(0.99, 9_000), (0.95, 1_000)])
    )
    found = front.hypervolumes([last, first], TWO)
    assert [trial.number for trial, _ in found] == [1, 0]


@pytest.mark.parametrize("points", [[], [(0.9, 5)], [(0.9, 5), (0.9, 5)], [(0.9, 5), (0.8, 5)]])
def test_a_hypervolume_of_few_or_equal_points_is_finite(points):
    trials = [finished_trial(number, point) for number, point in enumerate(points)]
    values = [value for _, value in front.hypervolumes(trials, TWO)]
    assert len(values) == len(points) and np.isfinite(values).all()


def test_three_objectives_have_a_front_and_a_hypervolume():
    objectives = (*TWO, Minimize("milliseconds_per_image"))
    points = [(0.9, 5, 1.0), (0.8, 6, 0.5), (0.7, 7, 2.0)]
    trials = [finished_trial(number, point) for number, point in enumerate(points)]
    values = [value for _, value in front.hypervolumes(trials, objectives)]
    assert values == sorted(values) and 0 < values[-1] <= 1
    dominated = finished_trial(3, (0.7, 8, 2.0))
    # The second is worse than the first in both objectives that are drawn, but the fastest.
    found = front.undominated([*trials, dominated], objectives)
    assert [trial.number for trial in found] == [0, 1]


def test_the_report_shows_front_and_hypervolume(tmp_path):
    study = searched_study(tmp_path, objectives=TWO, confirm=Confirm(trials=3, seeds=1))
    ranked, journal = candidates(study), study_run.begin(study)
    study_run._write_result(study, journal, ranked)
    study_run.write_report(study, journal, ranked)
    page = (study.folder / "report.html").read_text()
    assert "The front" in page and "MAX_PARAMETERS=N" in page
    assert 'alt="Pareto front"' in page and 'alt="Hypervolume"' in page
    assert "could not be drawn" not in page
    # Without RUN= the command would ask which point of the front.
    assert "make promote EXPERIMENT=mnist RUN=RUN  # RUN: the id in MLflow of conf" in page
    assert "| trial | val_accuracy | parameters |" in description(study, ranked)
    # Those of earlier trials are in the picture only, whose scale is that of all trials.
    (written,) = [event for event in read(study.folder)[0] if event["event"] == "metrics"]
    found = front.hypervolumes(study.trials.finished(), TWO)
    assert written["metrics"][front.HYPERVOLUME] == found[-1][1]
    assert written["step"] == len(study.trials.finished())


def test_a_front_of_one_point_needs_no_choice(tmp_path):
    study = made_study(tmp_path, TWO)
    study.trials.optuna_study.add_trial(finished_trial(0, [0.9, 500.0]))
    assert front.how_to_promote(study) == "make promote EXPERIMENT=mnist"
    study.trials.optuna_study.add_trial(finished_trial(1, [0.8, 400.0]))
    assert "lists the points of the front" in front.how_to_promote(study)


def test_constraints_that_no_trial_meets_are_told_with_the_nearest_trial(tmp_path):
    study = made_study(tmp_path, TWO)
    reasons = ("parameters 50,000, not at most 20,000", "parameters 21,000, not at most 20,000")
    for number, (reason, excess) in enumerate(zip(reasons, (1.5, 0.05), strict=True)):
        trial = finished_trial(number, None, PRUNED, reason=reason)
        trial.set_constraint("parameters at most 20,000", excess)
        study.trials.optuna_study.add_trial(trial)
    message = terminal.nothing_completed(study)
    assert "satisfies the constraints; the nearest, trial 1, has parameters 21,000, not" in message
    assert "\n" not in message
    assert tally(study) == "configurations tried: 2, of which 2 outside the constraints"
