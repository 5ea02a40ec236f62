"""KerasTuner's HyperModels as search spaces, through the real command."""

import optuna
from faults import Search, agrees, make_project
from optuna.trial import TrialState

from mnist_cnn.study.screening import continued

TUNES_ITS_BATCHES = """
import keras
import keras_tuner


class TunesItsBatches(keras_tuner.HyperModel):
    # After KerasTuner's guide "Getting started with KerasTuner": it overrides `fit` in this way,
    # and its model does not begin with an Input.
    def build(self, hp):
        model = keras.Sequential([
            keras.layers.MaxPooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Int("units", 8, 32, step=2, sampling="log"), activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [50, 100]), **kwargs)


tunes_its_batches = TunesItsBatches()
"""
EXPERIMENT = """
from dataclasses import replace
from experiments.smoke import experiment as smoke
from mnist_cnn.experiment import Screen
from search_spaces.tunes_its_batches import tunes_its_batches

experiment = replace(
    smoke,
    space=tunes_its_batches,
    baseline={"units": 16},
    trials=4,
    screen=Screen(rungs=(1,), one_of=2),
)
"""


def test_a_hypermodels_own_fit_is_used_and_what_it_tunes_is_recorded(tmp_path):
    root = make_project(tmp_path)
    (root / "search_spaces/tunes_its_batches.py").write_text(TUNES_ITS_BATCHES)
    (root / "experiments/own_fit.py").write_text(EXPERIMENT)
    code, _, err = Search(root, experiment="own_fit").finish()
    assert code == 0, err
    study, client, _, runs = agrees(root, "own_fit-1")
    later = [trial for trial in study.trials if continued(trial) is not None]
    assert len(study.trials) == 4 + len(later) and len(later) >= 2
    for trial in study.trials:
        assert trial.state == (TrialState.COMPLETE if trial in later else TrialState.PRUNED)
        assert trial.distributions["batch_size"] == optuna.distributions.CategoricalDistribution(
            (50, 100)
        )
        (run,) = (
            r
            for r in runs
            if r.data.tags.get("optuna.trial") == str(trial.number)
            and r.data.tags["kind"] == "trial"
        )
        assert run.data.params["batch_size"] == str(trial.params["batch_size"])
        assert f'"batch_size": {trial.params["batch_size"]}' in run.data.tags["recipe"]
        assert run.data.params["units"] == str(8 * 2 ** trial.params["units"])  # not the index
    for trial in later:  # which begins again, and is given what its `fit` had declared
        assert trial.params == study.trials[continued(trial)].params
    assert study.trials[0].params["units"] == 1  # of 8, 16 and 32
    assert study.trials[0].params["batch_size"] == 50  # not named by the baseline: its default
    assert client.get_experiment_by_name("own_fit")
