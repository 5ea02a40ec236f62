"""VGG-style networks on MNIST, searched as `experiments/mnist.py` searches plain ones.

    make search EXPERIMENT=vgg

Cost: 10 to 12 minutes on two cores.
Result: 99.23 % of the validation images beside 99.46 % of `mnist`, in searches of five minutes over
three seeds (docs/benchmarks.md).
"""

from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from search_spaces.vgg import vgg

experiment = replace(
    mnist_experiment,
    space=vgg,
    # Narrow, so that it learns quickly.
    baseline={
        "stages": 3,
        "width": 8,
        "depth_1": 2,
        "depth_2": 2,
        "normalisation": "batch",
        "shift_pixels": 1,
        "dense_layers": 0,
        "dropout": 0.2,
        "adam_learning_rate": 0.003,
    },
)
