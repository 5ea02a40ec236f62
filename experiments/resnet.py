"""Residual networks on MNIST, searched as `experiments/mnist.py` searches plain ones.

    make search EXPERIMENT=resnet

Cost: 10 to 12 minutes on two cores.
Result: 99.39 % of the validation images beside 99.46 % of `mnist`, in searches of five minutes over
three seeds (docs/benchmarks.md). Its own baseline won each.
"""

from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from search_spaces.resnet import resnet

experiment = replace(
    mnist_experiment,
    space=resnet,
    # Narrow, and on a quarter of the pixels, so that it learns quickly.
    baseline={
        "stages": 3,
        "width": 16,
        "pooled_stem": True,
        "depth_1": 2,
        "shift_pixels": 1,
        "adam_learning_rate": 0.003,
    },
)
