"""The real search: plain convolutional networks on all of MNIST."""

from functools import partial

import optuna

from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import Confirm, Experiment, Maximize
from search_spaces.cnn import cnn

experiment = Experiment(
    space=cnn,
    dataset=mnist,
    objectives=(Maximize("val_accuracy"),),
    trials=40,
    timeout_seconds=660,
    epochs=3,
    batch_size=256,
    sampler=partial(optuna.samplers.TPESampler, group=True, n_startup_trials=6),
    # A trial that is below the best third after an epoch is stopped.
    pruner=partial(optuna.pruners.PercentilePruner, 33.0, n_startup_trials=2, n_warmup_steps=0),
    confirm=Confirm(trials=2, seeds=2, epochs=7),
    baseline={},
)
