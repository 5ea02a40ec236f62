"""Several models in one plain file, which answers the average of their probabilities.

Trainings that differ in their seed make different mistakes, so that their average makes fewer
(B. Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles", 2017). It takes as many times as long to predict.
"""

from collections.abc import Sequence
from pathlib import Path

import keras

from mnist_cnn.errors import UserError
from mnist_cnn.files import replace_file
from mnist_cnn.training import saved_model
from mnist_cnn.training.saving import compile_for_evaluation


def write_average(model_files: Sequence[Path], target: Path) -> None:
    """Write a model that has each of the models as a layer, and averages what they answer.

    It is made of Keras's own layers. What acts in training only, such as random rotation, is as
    inactive as in each of the models.

    Args:
        model_files: The .keras files of the models.
        target: The .keras file to write.

    Raises:
        UserError: A model cannot be loaded, does not answer probabilities, or takes other images
            than the rest.
    """
    keras.backend.clear_session()  # the names that Keras counts are then the same each time
    models = [saved_model.load(file) for file in model_files]
    kinds = [f"{model.input_shape} to {model.output_shape}" for model in models]
    if len(set(kinds)) > 1:
        raise UserError(f"models of different images cannot be averaged: {', '.join(kinds)}")
    for model in models:
        saved_model.check_answers(model)
    image = keras.Input(saved_model.shape_of(models[0]), name="image")
    # A model that is made of another one's tensors has its layers, but is not compiled.
    members = [
        keras.Model(model.inputs[0], model.outputs[0], name=f"member_{number}")
        for number, model in enumerate(models)
    ]
    average = keras.layers.Average(name="average")([member(image) for member in members])
    ensemble = keras.Model(image, average, name="ensemble")
    one_hot = getattr(models[0], "loss", None) == "categorical_crossentropy"
    compile_for_evaluation(ensemble, one_hot=one_hot)
    replace_file(target, ensemble.save)
