"""KerasTuner's HyperEfficientNet, under Optuna's sampler and pruner.

    make search EXPERIMENT=keras_tuner_efficientnet

As released it asks for ImageNet's weights, which Keras downloads; here its networks begin with
random weights. It scales every image up to 224 to 600 pixels a side, which costs what it costs.

Cost: about 15 minutes on 2 cores for two trials of one epoch on 500 images.
Result: not measured yet.
"""

from dataclasses import replace
from functools import partial

from keras_tuner.applications import HyperEfficientNet
from keras_tuner.src.applications.efficientnet import EFFICIENTNET_MODELS

from experiments.keras_tuner_resnet import experiment as resnet_experiment
from mnist_cnn.datasets import Dataset, mnist

for version, network in EFFICIENTNET_MODELS.items():
    EFFICIENTNET_MODELS[version] = partial(network, weights=None)


def few_images() -> Dataset:
    """The first 500 images of MNIST, in colour and with one-hot labels."""
    return mnist().first(500).rgb().one_hot()


experiment = replace(
    resnet_experiment,
    space=HyperEfficientNet(input_shape=(28, 28, 3), classes=10),
    dataset=few_images,
    trials=2,
    epochs=1,
    batch_size=16,
    baseline={"version": "B0"},
)
