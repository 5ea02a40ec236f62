"""KerasTuner's HyperResNet as it is released, under Optuna's sampler and pruner.

    make search EXPERIMENT=keras_tuner_resnet

Cost: 15 minutes on 2 cores; networks of 50 to 150 layers on a few thousand images.
Result: 83 % of the validation images with the first trial, ResNet50 v2; the deeper ones are behind
after as many steps, and most are pruned or cut off.
"""

from dataclasses import replace
from functools import partial

import optuna
from keras_tuner.applications import HyperResNet

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.datasets import Dataset, mnist
from mnist_cnn.experiment import Confirm


def few_images() -> Dataset:
    """The first 3,000 images of MNIST, with the one-hot labels that HyperResNet compiles for."""
    return mnist().first(3000).one_hot()


experiment = replace(
    mnist_experiment,
    space=HyperResNet(input_shape=(28, 28, 1), classes=10),
    dataset=few_images,
    trials=6,
    timeout_seconds=900,
    epochs=4,
    epoch_images=None,
    # Small batches make many steps of few images: Keras's batch normalisation has forgotten its
    # start after some hundreds, and before that a validation says nothing.
    batch_size=16,
    # So few and so dear trials are held against the first two that ended.
    pruner=partial(optuna.pruners.PercentilePruner, 33.0, n_startup_trials=2, n_warmup_steps=1),
    confirm=Confirm(trials=0),
    validation_fraction=1 / 6,
    baseline={"version": "v2", "learning_rate": 0.001},
)
