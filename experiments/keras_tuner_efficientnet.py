"""KerasTuner's HyperEfficientNet under Optuna's sampler, in its smallest version.

    make search EXPERIMENT=keras_tuner_efficientnet

As released it asks for ImageNet's weights, which Keras downloads; here its networks begin with
random weights. It scales every image up to 224 to 600 pixels a side, which is slow.

Cost: 5 minutes on 2 cores shared with other work, for two trials of two epochs on 240 images.
Result: 14.6 % of the 41 validation images, which is chance after 50 steps: it shows that the space
runs, not what it can do. For that, take a GPU, more images and more epochs.
"""

from dataclasses import replace
from functools import partial

import keras
import keras_tuner
from keras_tuner.applications import HyperEfficientNet
from keras_tuner.src.applications.efficientnet import EFFICIENTNET_MODELS

from experiments.keras_tuner_resnet import experiment as resnet_experiment
from experiments.keras_tuner_resnet import short_memory
from mnist_cnn.datasets import Dataset, mnist

for version, network in EFFICIENTNET_MODELS.items():
    EFFICIENTNET_MODELS[version] = partial(network, weights=None)


def efficientnet_b0(hp: keras_tuner.HyperParameters) -> keras.Model:
    """HyperEfficientNet of 224 pixels a side."""
    hp.Fixed("version", "B0")
    return short_memory(HyperEfficientNet(input_shape=(28, 28, 3), classes=10).build(hp))


def few_images() -> Dataset:
    """The first 240 images of MNIST, in colour and with one-hot labels."""
    return mnist().first(240).rgb().one_hot()


experiment = replace(
    resnet_experiment,
    space=efficientnet_b0,
    dataset=few_images,
    trials=2,
    epochs=2,
    epoch_images=None,
    batch_size=8,
    baseline={"learning_rate": 0.1},
)
