"""KerasTuner's HyperResNet under Optuna's sampler and pruner.

    make search EXPERIMENT=keras_tuner_resnet

Cost: at most 15 minutes on 2 cores, for six networks of 53 or 65 layers on 3,000 images.
Result: 93.2 % of the validation images with ResNet50 v2 and Adam at 0.001, the baseline. On two
cores shared with other work the 15 minutes gave two complete and three stopped trials; a sixth was
at 92.6 % after five of its six epochs.
"""

from dataclasses import replace

import keras
import keras_tuner
import optuna
from keras_tuner.applications import HyperResNet

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.datasets import Dataset, mnist
from mnist_cnn.experiment import Confirm, Maximize


def resnet50(hp: keras_tuner.HyperParameters) -> keras.Model:
    """HyperResNet without the networks that take two cores hours: ResNeXt, and over 100 layers."""
    # A name that is declared already keeps its domain, so this narrows the HyperModel's own.
    hp.Choice("version", ["v2", "v1"])
    hp.Fixed("conv4_depth", 6)
    return short_memory(HyperResNet(input_shape=(28, 28, 1), classes=10).build(hp))


def short_memory(model: keras.Model) -> keras.Model:
    """Let batch normalisation forget its start within some 50 steps, not 500 as by default.

    Until then validation means nothing, and these runs have a few hundred steps in all.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return model


def few_images() -> Dataset:
    """The first 3,000 images of MNIST, with the one-hot labels that HyperResNet compiles for."""
    return mnist().first(3000).one_hot()


def pruner() -> optuna.pruners.BasePruner:
    """From the second epoch on, a trial below the median of the others is stopped."""
    return optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2)


experiment = replace(
    mnist_experiment,
    space=resnet50,
    dataset=few_images,
    objectives=(Maximize("val_accuracy"),),
    trials=6,
    timeout_seconds=900,
    # A step costs much and its images little, so there are many steps of few.
    epochs=6,
    epoch_images=800,
    batch_size=16,
    pruner=pruner,
    screen=None,
    confirm=Confirm(trials=0),
    validation_fraction=1 / 6,
    baseline={"version": "v2", "learning_rate": 0.001},
)
