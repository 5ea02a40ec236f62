"""Ray Tune with OptunaSearch and ASHA; needs the extra `ray`.

Source: Ray's guides "Running Tune experiments with Optuna" (a define-by-run space) and "Using Keras
& TensorFlow with Tune" (ASHA). Two things are not as there, and both favour it in a few minutes:
`max_t` is ten epochs and `grace_period` one instead of 400 and 20, and a trial has one core instead
of two, so that trials share the machine as this project's do.
"""

import os
import tempfile
from pathlib import Path

import keras
import keras_tuner
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peers.log import arguments
from benchmarks.peers.recipe import Log, adapt, batch, images, use
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.workers.machine import threads_environment
from search_spaces.cnn import cnn

EPOCHS = 10
ROOT = Path(__file__).parent.parent.parent


def space(trial) -> None:
    """Declare the parameters of the space by building the model once."""
    cnn(TrialHyperParameters(trial))
    keras.backend.clear_session()


class Report(keras.callbacks.Callback):
    """Reports every epoch's validation accuracy to Tune."""

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        tune.report({"val_accuracy": float(logs["val_accuracy"])})


def train_one(config: dict, recipe: str, log: str, seed: int) -> None:
    """One trial, in a process of Ray's."""
    os.chdir(ROOT)
    use(recipe)
    train, validation = images(seed)
    hp = keras_tuner.HyperParameters()
    hp.values.update(config)
    model = adapt(cnn(hp), recipe)
    model.fit(
        train.x,
        train.y,
        epochs=EPOCHS,
        batch_size=batch(recipe, 128),
        validation_data=(validation.x, validation.y),
        callbacks=[Log(Path(log)), Report()],
        verbose=0,
    )


def main() -> None:
    options = arguments("asha")
    environment = threads_environment(1) | {"PYTHONPATH": str(ROOT)}
    ray.init(log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": environment})
    search = OptunaSearch(space, metric="val_accuracy", mode="max", seed=options.seed)
    tuner = tune.Tuner(
        tune.with_parameters(
            train_one, recipe=options.recipe, log=str(options.log.absolute()), seed=options.seed
        ),
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp()),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=ASHAScheduler(
                metric="val_accuracy", mode="max", max_t=EPOCHS, grace_period=1
            ),
            num_samples=-1,
        ),
    )
    tuner.fit()


if __name__ == "__main__":
    main()
