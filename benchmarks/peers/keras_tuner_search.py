"""KerasTuner's tuners.

Sources: KerasTuner's guide "Getting started with KerasTuner" (RandomSearch and, the same way,
BayesianOptimization: two epochs a trial) and TensorFlow's tutorial "Introduction to the Keras
Tuner" (Hyperband: max_epochs=10, factor=3, early stopping with patience 5). Batches of 32 are
Keras's default. The guide trains each configuration twice; here once, which favours it.
"""

import tempfile

import keras
import keras_tuner

from benchmarks.peers.log import arguments
from benchmarks.peers.recipe import Log, adapt, batch, images, use
from search_spaces.cnn import cnn

ENDLESS = 1_000_000


def main() -> None:
    options = arguments("hyperband", "bayesian", "random")
    use(options.recipe)
    train, validation = images(options.seed)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        return adapt(cnn(hp), options.recipe)

    common = {
        "objective": "val_accuracy",
        "seed": options.seed,
        "directory": tempfile.mkdtemp(),
        "project_name": "peer",
    }
    callbacks, epochs = [Log(options.log)], 2
    if options.method == "hyperband":
        tuner = keras_tuner.Hyperband(
            build, max_epochs=10, factor=3, hyperband_iterations=ENDLESS, **common
        )
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=5))
        epochs = 50
    elif options.method == "bayesian":
        tuner = keras_tuner.BayesianOptimization(build, max_trials=ENDLESS, **common)
    else:
        tuner = keras_tuner.RandomSearch(build, max_trials=ENDLESS, **common)
    tuner.search(
        train.x,
        train.y,
        epochs=epochs,
        batch_size=batch(options.recipe, 32),
        validation_data=(validation.x, validation.y),
        callbacks=callbacks,
        verbose=0,
    )


if __name__ == "__main__":
    main()
