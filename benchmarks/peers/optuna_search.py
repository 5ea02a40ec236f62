"""Optuna with Keras and MLflow, one run a trial.

Sources: optuna-examples, `keras/keras_integration.py` (batches of 128; what its pruning callback
does is written out here: report after every epoch, raise TrialPruned) and MLflow's guide
"Hyperparameter tuning with MLflow and Optuna" (a nested run a trial, its params and metrics). Two
things are not as there, and both favour it in a few minutes: ten epochs a trial instead of twenty,
and a pruner that begins after two complete trials instead of five.
"""

import tempfile

import keras
import mlflow
import optuna

from benchmarks.peers.log import arguments
from benchmarks.peers.recipe import Log, adapt, batch, images, use
from mnist_cnn.hyperparameters import TrialHyperParameters
from search_spaces.cnn import cnn

EPOCHS = 10


class Pruning(keras.callbacks.Callback):
    """Reports every epoch's validation accuracy and ends a trial that Optuna prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self.trial.report(logs["val_accuracy"], epoch)
        mlflow.log_metrics({name: float(value) for name, value in logs.items()}, step=epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def main() -> None:
    options = arguments("median", "sha")
    use(options.recipe)
    train, validation = images(options.seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{tempfile.mkdtemp()}/mlflow.db")

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        with mlflow.start_run(nested=True):
            model = adapt(cnn(TrialHyperParameters(trial)), options.recipe)
            mlflow.log_params(trial.params)
            history = model.fit(
                train.x,
                train.y,
                epochs=EPOCHS,
                batch_size=batch(options.recipe, 128),
                validation_data=(validation.x, validation.y),
                callbacks=[Log(options.log), Pruning(trial)],
                verbose=0,
            )
        return max(history.history["val_accuracy"])

    pruner = (
        optuna.pruners.MedianPruner(n_startup_trials=2)
        if options.method == "median"
        else optuna.pruners.SuccessiveHalvingPruner()
    )
    sampler = optuna.samplers.TPESampler(seed=options.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    with mlflow.start_run():
        study.optimize(objective)


if __name__ == "__main__":
    main()
