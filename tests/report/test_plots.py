"""Which plots a study has, from what they are drawn, and that large studies are no slower."""

import optuna
import pytest
from made_study import (
    COMPLETE,
    FAIL,
    PRUNED,
    RATE,
    SMALL_STUDIES,
    finished_trial,
    made_study,
    searched_study,
    study_with,
    write_journal,
)
from optuna.distributions import FloatDistribution

from mnist_cnn.charts import style
from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.report import history, trial_plots
from mnist_cnn.report.parallel_coordinates import parallel_coordinates
from mnist_cnn.report.parameter_axis import parameter_axis
from mnist_cnn.report.plots import draw_plots, important_parameters
from mnist_cnn.report.slices import slices

ACCURACY, LOSS = Maximize("val_accuracy"), Minimize("val_loss")


def test_with_several_objectives_there_is_a_front_and_the_curves_come_from_the_journals(tmp_path):
    study = made_study(tmp_path, objectives=(ACCURACY, Minimize("parameters")))
    for number in range(3):  # Optuna takes no reports of such trials
        study.trials.optuna_study.add_trial(finished_trial(number, [0.9, 500.0]))
        epochs = [{"val_accuracy": value, "loss": 1.0} for value in (0.5, 0.7, 0.9)]
        tags = {"kind": "trial", "optuna.trial": str(number)}
        write_journal(study.trials.folder(number), tags, [(0, 1)], epochs=epochs)
    pictures = draw_plots(study, [], history.run_histories(study.folder))
    assert [picture.title for picture in pictures] == [
        "Optimisation history",
        "Pareto front",
        "Hypervolume",
        "Learning curves",
        "Timeline",
    ]
    told = [finished_trial(number, [0.9, 500.0], reported=(0.5, 0.7, 0.9)) for number in range(3)]
    style.save(trial_plots.learning_curves(told, ACCURACY), tmp_path / "told.png")
    assert pictures[3].path.read_bytes() == (tmp_path / "told.png").read_bytes()


def test_importances_find_the_parameter_that_matters_and_are_empty_without_evidence(tmp_path):
    told = [
        ([abs(n - 10) / 10], COMPLETE, {"good": 0.01 * n, "idle": 0.01 * (n * 7 % 20)})
        for n in range(20)
    ]
    shares = important_parameters(study_with(tmp_path / "a", told, LOSS))
    assert next(iter(shares)) == "good" and sum(shares.values()) == pytest.approx(1)
    for name in ("all equal", "one trial", "none complete", "without parameters"):
        assert important_parameters(study_with(tmp_path / name, SMALL_STUDIES[name], LOSS)) == {}


def test_two_thousand_trials_need_no_more_objects_than_twenty():
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


def test_made_studies_are_what_optuna_would_store(tmp_path):
    study = searched_study(tmp_path, trials=16)
    assert {trial.state for trial in study.trials.finished()} == {COMPLETE, PRUNED, FAIL}
    optuna.importance.get_param_importances(study.trials.optuna_study)
