"""The confirmations: their table, what it says in words, and their plot."""

from dataclasses import replace

import pytest
from made_study import (
    confirm_trial,
    finished_trial,
    made_study,
    write_journal,
)

from mnist_cnn.experiment import Confirm, Maximize, Minimize
from mnist_cnn.report import confirmation_table, study_plots
from mnist_cnn.report.description import description
from mnist_cnn.report.page import report_page
from mnist_cnn.report.text import difference
from mnist_cnn.study.candidates import Candidate, candidates
from mnist_cnn.study.storage import default_storage
from mnist_cnn.tracking.journal import Journal

ACCURACY, LOSS = Maximize("val_accuracy"), Minimize("val_loss")


@pytest.mark.parametrize(("objective", "sign"), [(ACCURACY, 1), (LOSS, -1)], ids=["max", "min"])
def test_the_table_has_the_optimism_of_each_first_score(tmp_path, objective, sign):
    study = made_study(tmp_path, objectives=(objective,), confirm=Confirm(epochs=9))
    Journal(tmp_path).write("end", metrics={"best_val_accuracy": 0.9912}, status="FINISHED")
    ranked = [
        Candidate(finished_trial(7, [0.90]), {0: 0.80, 1: 0.84}, tmp_path, [tmp_path]),
        Candidate(finished_trial(3, [0.95]), {0: 0.75}, tmp_path, [tmp_path]),
        Candidate(finished_trial(5, [0.99]), {}, tmp_path, [tmp_path]),
    ]
    first, second = confirmation_table.rows(study, ranked)
    optimism = difference(sign * 0.08)
    beside = [] if objective == ACCURACY else ["0.9912"]
    assert first == ["7", "0.9000", "0.8200", *beside, "0.028", optimism, "0.8000, 0.8400"]
    assert second == ["3", "0.9500", "0.7500", *beside, "", difference(sign * 0.2), "0.7500"]
    assert confirmation_table.accuracy(ranked[0]) == 0.9912
    shown = confirmation_table.accuracy_beside(study, ranked[0])
    assert shown == (0.9912 if beside else None)
    words = confirmation_table.summary(study, ranked)
    better = "better" if sign > 0 else "worse"
    assert f"On average over 2 trials, the first score was 0.14 {better} than the mean" in words
    assert "A trial trains for 6 epochs, but a confirmation for 9." in words
    assert confirmation_table.summary(study, ranked[2:]) == ""
    cells = " | ".join(["7", "0.9000", "0.8200", *beside, "0.028"])
    assert f"| {cells} |" in description(study, ranked)
    study.trials.optuna_study.add_trial(finished_trial(0, [0.9]))
    page = report_page(study, ranked[:1], [], [], {}, None)
    assert f"<b>{optimism}</b>optimism: how much better its first score was" in page
    assert ("<b>0.9912</b>val_accuracy of the same trainings" in page) == bool(beside)


def test_a_better_trial_that_was_not_confirmed_in_time_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage, confirm = default_storage(), Confirm(trials=2, seeds=1, max_seeds=1)
    study = made_study(tmp_path, confirm=confirm, storage=storage)
    for number, value in enumerate((0.95, 0.97)):
        study.trials.optuna_study.add_trial(finished_trial(number, [value]))
    worse, better = 0, 1
    for confirmed, score in ((worse, 0.96), (better, 0.98)):
        page = report_page(study, candidates(study), [], [], {}, None)
        if confirmed == worse:
            assert "Time ran out before any trial was confirmed" in page
            assert "make search EXPERIMENT=mnist STUDY=mnist-1 TRIALS=3`" in page
            elsewhere = replace(study, storage=f"sqlite:///{tmp_path}/mlruns/../mlruns/optuna.db")
            told = confirmation_table.summary(elsewhere, candidates(study))
            assert "mnist-cnn search mnist --study mnist-1 --trials 3 --storage sqlite://" in told
        else:
            assert "The winner, trial 1, had the best first score, but time ran out" in page
        assert "on fresh seeds, trial" not in page
        tags = {"kind": "confirmation", "optuna.trial": str(confirmed)}
        folder = confirm_trial(study, confirmed, 0, score)
        write_journal(folder, tags, [(1, 2)], epochs=[{"val_accuracy": score}])
    page = report_page(study, candidates(study), [], [], {}, None)
    assert "The winner: trial 1" in page and "ime ran out" not in page


def test_a_winner_that_is_not_to_be_confirmed_is_not_said_to_lack_time(tmp_path):
    study = made_study(tmp_path, confirm=Confirm(trials=0))
    ranked = [
        Candidate(finished_trial(3, [0.95]), {}, tmp_path, [tmp_path]),
        # Confirmed when the experiment still asked for it.
        Candidate(finished_trial(7, [0.90]), {0: 0.80}, tmp_path, [tmp_path]),
    ]
    words = confirmation_table.summary(study, ranked)
    assert "it was not confirmed, since the experiment has Confirm(trials=0)" in words
    assert "time ran out" not in words


def test_confirmations_show_first_scores_means_and_their_difference(tmp_path):
    ranked = [
        Candidate(finished_trial(7, [0.98]), {0: 0.97, 1: 0.99}, tmp_path, [tmp_path]),
        Candidate(finished_trial(3, [0.99]), {0: 0.96}, tmp_path, [tmp_path]),
        Candidate(finished_trial(5, [0.95]), {}, tmp_path, [tmp_path]),
    ]
    figure = study_plots.confirmations(ranked, ACCURACY, (8, 32))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["trial 7 (winner)\n+0", "trial 3\n+0.0300"]
    (axes,) = study_plots.confirmations(ranked, LOSS, (8, 32)).axes
    assert axes.get_xticklabels()[1].get_text() == "trial 3\n-0.0300"
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "(8 epochs)" in words and "(32 epochs)" in words
