"""Tiny networks on MNIST: as accurate as possible, and as few parameters as possible.

    make search EXPERIMENT=tiny
    make promote EXPERIMENT=tiny MAX_PARAMETERS=5000

Rungs need a single objective, so every network with at most 10,000 parameters is trained in full.
The largest network of the space has 17,818.

Cost: 20 minutes on two cores.
Result: 98.96 % of the validation images with 9,298 parameters, 98.80 % with 5,902 and 97.36 % with
3,100, each on one fresh seed, in one search of nine minutes on two cores shared with other work. It
allowed 20,000 parameters, its networks had ten filters or more, and its smaller baseline was
normalised. 9,298 are those of the first baseline.
"""

from dataclasses import replace

from experiments.mnist import experiment as mnist_experiment
from mnist_cnn.experiment import AtLeast, AtMost, Confirm, Maximize, Minimize, grouped_tpe
from search_spaces.tiny import tiny

experiment = replace(
    mnist_experiment,
    space=tiny,
    objectives=(Maximize("val_accuracy"), Minimize("parameters")),
    constraints=(AtMost("parameters", 10_000), AtLeast("val_accuracy", 0.9)),
    sampler=grouped_tpe,
    screen=None,
    epochs=4,
    epoch_images=24_576,  # the same images as sixteen of MNIST's short epochs
    patience=4,
    timeout_seconds=1_200,
    confirm=Confirm(trials=8, seeds=2, max_seeds=2),
    baseline=(
        {
            "depth_1": 2,
            "depth_2": 2,
            "filters_1": 16,
            "filters_2": 16,
            "shift_pixels": 1,
            "adam_learning_rate": 0.004,
        },
        # A very small one.
        {
            "stages": 2,
            "filters_0": 10,
            "filters_1": 10,
            "separable_1": True,
            "narrowed": True,
            "normalisation": "none",
            "adam_learning_rate": 0.004,
        },
    ),
)
