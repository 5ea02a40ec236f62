"""The pictures are drawn from whatever a study holds, and say what they show."""

import numpy as np
import optuna
import pytest
from made_study import RATE, finished_trial
from matplotlib import image
from optuna.trial import TrialState

from mnist_cnn.charts import style
from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.report import trial_plots
from mnist_cnn.report.parallel_coordinates import parallel_coordinates
from mnist_cnn.report.parameter_axis import parameter_axis
from mnist_cnn.report.slices import slices

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL

# What each trial reported epoch by epoch, and how it ended; a complete one has its last as value.
STUDIES = {
    "all kinds": [([0.5, 0.7], COMPLETE), ([0.3], PRUNED), ([], FAIL), ([0.6, 0.9], COMPLETE)],
    "many": [([0.1, 0.5 + number / 100], COMPLETE) for number in range(12)],
    "one complete": [([0.5, 0.7], COMPLETE)],
    "none complete": [([0.3], PRUNED), ([], FAIL), ([0.4], PRUNED)],
    "failed only": [([], FAIL), ([0.5], FAIL)],
    "none at all": [],
    "all the same": [([0.5, 0.5], COMPLETE) for _ in range(10)],
    "no numbers in between": [([float("nan"), 0.7], COMPLETE) for _ in range(10)],
    "infinite": [([0.5, float("inf")], COMPLETE) for _ in range(5)]
    + [([0.5, 0.6], COMPLETE) for _ in range(5)],
}
OBJECTIVES = [Maximize("val_accuracy"), Minimize("val_loss")]
PICTURES = [trial_plots.optimisation_history, trial_plots.learning_curves]


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("name", STUDIES)
def test_a_picture_of_trials_is_drawn_and_labelled(name, draw, tmp_path):
    for objective in OBJECTIVES:
        figure = draw(trials_of(STUDIES[name], objective), objective)
        (axes,) = figure.axes
        assert axes.get_title() and axes.get_xlabel().startswith(("trial", "epoch"))
        assert axes.get_ylabel().startswith(f"{objective.metric} (")
        assert axes.get_legend()
    assert_is_a_picture(figure, tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("objective", "values", "incumbents"),
    [
        (Maximize("m"), [0.5, 0.3, 0.9, 0.9, 0.7], [0.5, 0.5, 0.9, 0.9, 0.9]),
        (Minimize("m"), [0.5, 0.6, 0.2, 0.1, 0.3], [0.5, 0.5, 0.2, 0.1, 0.1]),
    ],
    ids=["maximize", "minimize"],
)
def test_the_history_shows_every_value_and_the_best_so_far(objective, values, incumbents):
    trials = trials_of([([value], COMPLETE) for value in values], objective)
    (axes,) = trial_plots.optimisation_history(trials, objective).axes
    (best,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert best.get_ydata().tolist() == incumbents
    dots = np.concatenate([dots.get_offsets() for dots in axes.collections])
    assert sorted(dots.tolist()) == [[n, value] for n, value in enumerate(values)]


def test_the_history_counts_each_kind_of_trial():
    trials = trials_of(STUDIES["all kinds"], OBJECTIVES[0])
    (axes,) = trial_plots.optimisation_history(trials, OBJECTIVES[0]).axes
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words[:2] == ["complete (2)", "stopped (1)"]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.direction)
def test_the_learning_curves_mark_that_of_the_best_trial(objective):
    trials = trials_of(STUDIES["all kinds"], objective)
    (axes,) = trial_plots.learning_curves(trials, objective).axes
    best = STUDIES["all kinds"][3 if objective.direction == "maximize" else 0][0]
    (drawn,) = [line for line in axes.lines if list(line.get_ydata()) == best]
    others = [line for line in axes.lines if line is not drawn and len(line.get_xdata())]
    assert list(drawn.get_xdata()) == [1, 2]
    assert all(drawn.get_zorder() > line.get_zorder() for line in others)


def test_hopeless_values_do_not_press_the_others_into_one_line():
    objective = Minimize("val_loss")
    told = [([0.1 + number / 100], COMPLETE) for number in range(12)] + [([1e6], COMPLETE)]
    for draw in PICTURES:
        (axes,) = draw(trials_of(told, objective), objective).axes
        low, high = axes.get_ylim()
        assert low < 0.1 < 0.15 < high < 1


@pytest.mark.parametrize(
    "values", [{"units": 0.75, "rate": 0.25}, {"units": 1.0}], ids=["two", "one"]
)
def test_importances_name_every_hyperparameter_the_greatest_on_top(values, tmp_path):
    figure = trial_plots.importances(values)
    (axes,) = figure.axes
    assert axes.get_title() and "importance" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == list(values)[::-1]
    assert [bar.get_width() for bar in axes.patches] == list(values.values())[::-1]
    assert_is_a_picture(figure, tmp_path / "picture.png")


def test_the_history_is_in_the_order_of_finishing_and_the_incumbent_reaches_its_end():
    trials = [
        finished_trial(0, [0.9], minutes=(0, 9)),
        finished_trial(1, [0.5], minutes=(0, 2)),
        finished_trial(2, [0.4], PRUNED, minutes=(2, 10)),
        finished_trial(3, None, FAIL, minutes=(10, 11)),
    ]
    (axes,) = trial_plots.optimisation_history(trials, Maximize("val_accuracy")).axes
    (best,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert best.get_xydata().tolist() == [[0, 0.5], [1, 0.9], [2, 0.9], [3, 0.9]]
    (failed,) = [line for line in axes.lines if "failed" in str(line.get_label())]
    assert list(failed.get_xdata()) == [3]


def test_a_trial_that_violates_a_constraint_is_nowhere_marked_as_the_best():
    params, domains = {"x": 0.01, "y": 0.01}, {"x": RATE, "y": RATE}
    trials = [
        finished_trial(
            n, [value], params=params, domains=domains, reported=[value], violation=violation
        )
        for n, (value, violation) in enumerate([(0.9, 0.1), (0.7, -0.1), (0.8, 0.1)])
    ]
    parameters = [parameter_axis(name, trials, {}) for name in domains]
    objective = Maximize("val_accuracy")
    figures = [draw(trials, objective) for draw in PICTURES]
    figures += [draw(trials, objective, parameters) for draw in (slices, parallel_coordinates)]
    for figure in figures:
        _, labels = figure.axes[0].get_legend_handles_labels()
        assert [label for label in labels if label.startswith("best (trial 1)")]
    (best,) = [line for line in figures[0].axes[0].lines if line.get_label() == "best so far"]
    assert best.get_xydata().tolist() == [[1, 0.7], [2, 0.7]]
    for draw in PICTURES:  # with none that could win
        assert draw(trials[:1], objective).axes[0].get_legend()


def test_of_many_importances_the_greatest_are_shown_and_the_others_summed():
    values = {f"p{n}": (20 - n) / 210 for n in range(20)}
    (axes,) = trial_plots.importances(values).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["the 12 others\ntogether", *[f"p{n}" for n in reversed(range(8))]]
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)


def trials_of(told, objective):
    """Real trials of a study, as Optuna stores them."""
    study = optuna.create_study(direction=objective.direction)
    for values, state in told:
        trial = study.ask()
        trial.suggest_float("rate", 0.1, 1)
        for epoch, value in enumerate(values, start=1):
            trial.report(value, epoch)
        study.tell(trial, values[-1] if state == COMPLETE else None, state=state)
    return study.trials


def assert_is_a_picture(figure, path):
    style.save(figure, path)
    pixels = image.imread(path)
    assert pixels.shape[1] >= 1000 and pixels.std() > 0
