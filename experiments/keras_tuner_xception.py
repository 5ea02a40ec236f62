"""KerasTuner's HyperXception as it is released, under Optuna's sampler and pruner.

    make search EXPERIMENT=keras_tuner_xception

Cost: about 10 minutes on 2 cores.
Result: not measured yet.
"""

from dataclasses import replace

from keras_tuner.applications import HyperXception

from experiments.keras_tuner_resnet import experiment as resnet_experiment

experiment = replace(
    resnet_experiment,
    space=HyperXception(input_shape=(28, 28, 1), classes=10),
    baseline={"learning_rate": 0.001, "sep_num_filters": 128, "num_residual_blocks": 2},
)
