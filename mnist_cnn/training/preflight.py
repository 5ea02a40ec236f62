"""Checks an experiment before its first trial, and refuses it if no trial could succeed."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
from optuna.samplers import BruteForceSampler, GridSampler

from mnist_cnn.datasets import Dataset
from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment import Experiment
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.known_data import warnings_at
from mnist_cnn.objectives import LATENCY
from mnist_cnn.optuna_internals import innermost
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.project.plan import Plan, baselines, plan
from mnist_cnn.project.sources import unwatched
from mnist_cnn.training import saved_model
from mnist_cnn.training.architecture import size_of
from mnist_cnn.training.backend import precision
from mnist_cnn.training.build import build, build_for_images, has_own_fit, wants
from mnist_cnn.training.callbacks import unknown_metric
from mnist_cnn.training.data import Data, kept_files, load_data
from mnist_cnn.training.failure import TrainingFailed, one_line
from mnist_cnn.training.sampling import check_sampling
from mnist_cnn.training.saving import compile_for_evaluation, compute_in_float32

# If the space itself refuses one configuration, others may still work.
REFUSALS = (optuna.TrialPruned, keras_tuner.errors.FailedTrialError)


def check(experiment_id: ExperimentId) -> Plan:
    """Build the model of each baseline, evaluate it on eight images and save it.

    Without baselines, the space's defaults are used. A space with its own `fit` is not evaluated,
    because only that `fit` knows the inputs of its model. This runs in a worker process.

    Returns:
        The experiment's plan. It says why its models cannot be served, if that is so.

    Raises:
        UserError: The data are damaged, a baseline cannot be built or does not fit the data, the
            objective's metric does not exist, or the sampler or pruner cannot be created.
    """
    experiment = load_experiment(experiment_id)
    try:
        return _check(experiment_id, experiment)
    except UsageError:
        raise
    except UserError as error:
        raise UserError(f"experiment {experiment_id.name!r}: {error}") from error


def accepted(
    experiment_id: ExperimentId, configurations: Sequence[Mapping[str, Any]], most: int
) -> list[dict[str, Any]]:
    """Return the first configurations of an earlier study that the space accepts now.

    A configuration with a value outside its range is left out. Hyperparameters that are new get
    their default, and those that are gone are dropped. With a sampler that tries everything, there
    is nothing to begin with.

    Args:
        experiment_id: What identifies the experiment.
        configurations: The values as an earlier space saw them, best first.
        most: How many to return at most.

    Returns:
        The values as the space sees them now, without repetitions and without baselines.
    """
    experiment = load_experiment(experiment_id)
    if isinstance(innermost(experiment.sampler(seed=0)), GridSampler | BruteForceSampler):
        return []
    data = load_data(experiment_id)
    known = [_seen(experiment, data, baseline) for baseline in baselines(experiment)]
    found: list[dict[str, Any]] = []
    for configuration in configurations:
        if len(found) == most:  # building the others takes time
            break
        values = _seen(experiment, data, configuration)
        if values is not None and values not in known:
            known.append(values)
            found.append(values)
    return found


def _seen(
    experiment: Experiment, data: Data, configuration: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return a configuration as the space sees it; None if the space does not accept it."""
    hp = _hyperparameters(configuration)
    try:
        build(experiment, data, hp)
    except Exception:  # outside a range, or the space refuses it in its own way
        return None
    finally:
        keras.backend.clear_session()
    if has_own_fit(experiment.space):  # its `fit` may declare more
        return {**configuration, **hp.values}
    return dict(hp.values)


def _hyperparameters(configuration: Mapping[str, Any]) -> TrialHyperParameters:
    """Return hyperparameters of which these have a value, and the others get their default."""
    study = optuna.create_study()
    study.enqueue_trial(dict(configuration))
    return TrialHyperParameters(study.ask())


def _check(experiment_id: ExperimentId, experiment: Experiment) -> Plan:
    _check_keras()
    check_sampling(experiment)
    data = load_data(experiment_id)
    problem = ""
    for baseline in baselines(experiment) or ({},):
        scores, costs, found = _try(experiment, data, baseline)
        if not problem:
            problem = found
        if scores is not None:
            _check_objectives(experiment, scores, costs)
    parts = (("train", len(data.train)), ("validation", len(data.validation)))
    return replace(
        plan(experiment_id, experiment),
        parts=parts,
        unserved=problem,
        warnings=_warnings(experiment_id, experiment),
        precision=precision(experiment),
        files=kept_files(experiment_id),
    )


def _warnings(experiment_id: ExperimentId, experiment: Experiment) -> tuple[str, ...]:
    """Return what is odd about the experiment's data, and about its code."""
    odd = warnings_at(experiment_id.data) if experiment_id.data else ()
    callables = (experiment.space, experiment.dataset, experiment.sampler, experiment.pruner)
    if not (files := unwatched(*callables)):
        return odd
    line = "these files are not in this folder, so an edit of one does not open a new study"
    return (*odd, f"{line}: {', '.join(map(str, files))}; move them here")


def _check_keras() -> None:
    """Refuse settings of the user's keras.json with which no model can be trained."""
    for name, found, valid in (
        ("image_data_format", keras.config.image_data_format(), "channels_last"),
        ("floatx", keras.config.floatx(), "float32"),
    ):
        if found in ("channels_first", "float16", "bfloat16"):
            raise UserError(f'keras.json says "{name}": "{found}"; write "{name}": "{valid}" there')


def _check_objectives(
    experiment: Experiment, scores: Mapping[str, float], costs: Sequence[str]
) -> None:
    """Refuse metrics that trials do not have."""
    epoch_metrics = [f"val_{name}" for name in scores]
    all_metrics = [*epoch_metrics, *costs]
    first = experiment.objectives[0].metric
    if first in costs:
        raise UserError(
            "the first objective decides which epoch of a trial is kept, and all epochs have the "
            f"same {first}; let one of these come first: {', '.join(epoch_metrics)}"
        )
    for index, objective in enumerate(experiment.objectives):
        valid = all_metrics if index else epoch_metrics
        if objective.metric not in valid:
            raise UserError(unknown_metric(objective.metric, valid))
    for constraint in experiment.constraints:
        if constraint.metric not in all_metrics:
            raise UserError(
                f"the constraint's metric {unknown(constraint.metric, all_metrics)} does not "
                f"exist; valid: {', '.join(all_metrics)}"
            )


def _try(
    experiment: Experiment, data: Data, baseline: Mapping[str, Any]
) -> tuple[dict[str, float] | None, list[str], str]:
    """Build and save the model of one baseline.

    Returns:
        Its metrics on a few images, or None if it is not evaluated; the metrics of its costs; and
        why it cannot be served, "" if it can be.
    """
    hp = _hyperparameters(baseline)
    what = "the baseline's model" if baseline else "the model of the space's defaults"
    few = data.validation[slice(8)].scaled()
    scores: dict[str, float] | None = None
    keras.config.set_dtype_policy(precision(experiment))
    try:
        model = build(experiment, data, hp)
        # Some models do not reveal their size. A model that is evaluated can also be timed.
        costs = [*size_of(model), "train_seconds", LATENCY]
        if not has_own_fit(experiment.space):
            if few.y.ndim == 1:  # otherwise labels are one-hot
                _check_outputs(model, data.dataset.classes)
            model.jit_compile = False
            scores = model.evaluate(few.x, few.y, verbose=0, return_dict=True)
        if wants(experiment.space, "training"):  # what it saves is another model
            trained, model = model, build(experiment, data, hp.copy(), training=False)
            if _weight_shapes(trained) != _weight_shapes(model):
                raise TrainingFailed(
                    "with training=False it has other weights than with training=True, so what is "
                    "trained cannot be saved; leave out only layers without weights"
                )
        problem = _problem_of_serving(model, data.dataset, few.x, what)
    except REFUSALS:
        return None, [], ""
    except Exception as error:  # the space is user code and may raise anything
        reason = str(error) if isinstance(error, TrainingFailed) else one_line(error)
        hint = "; precision='float32' in the experiment avoids it" if "float16" in reason else ""
        raise UserError(f"{what} does not work: {reason}{hint}") from error
    finally:
        keras.config.set_dtype_policy("float32")
        keras.backend.clear_session()
    others = sorted(baseline.keys() - hp.values.keys())
    if others and not has_own_fit(experiment.space):  # its `fit` may declare more
        raise UserError(
            f"the baseline names {unknown(others[0], hp.values)}, which its model does not have; "
            f"valid: {', '.join(hp.values)}"
        )
    return scores, costs, problem


def _weight_shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.weights]


def _check_outputs(model: keras.Model, classes: int) -> None:
    """Refuse outputs that the loss cannot compare with labels that are numbers of classes.

    TensorFlow only notices when it meets a label without an output. A subclass is left alone, as it
    may convert the labels itself.
    """
    shape = getattr(model, "output_shape", None)
    if not type(model).__module__.startswith("keras.") or not isinstance(shape, tuple):
        return
    loss = getattr(model.loss, "name", None) or getattr(model.loss, "__name__", model.loss)
    if len(shape) != 2 or not isinstance(shape[1], int):
        return
    if loss == "sparse_categorical_crossentropy" and shape[1] < classes:
        outputs = "1 output" if shape[1] == 1 else f"{shape[1]} outputs"
        raise TrainingFailed(f"it has {outputs}, but the data have {classes} classes")
    if loss == "categorical_crossentropy":
        raise TrainingFailed(
            "its loss takes one-hot labels, but labels are numbers of classes; compile it with "
            "'sparse_categorical_crossentropy'"
        )


def _problem_of_serving(model: keras.Model, dataset: Dataset, images: Any, what: str) -> str:
    """Return why `promote`, `evaluate` and `serve` would refuse the model; "" if they would not.

    The messages call it `what`.
    """
    try:
        build_for_images(model, dataset)
        compute_in_float32(model)
        compile_for_evaluation(model, one_hot=False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            loaded = saved_model.load(path)
        saved_model.check_probabilities(np.asarray(loaded(images, training=False)))
    except UserError as error:
        return str(error).replace(f"the model {path}", what).replace(str(path), what)
    except Exception as error:  # the model cannot even be saved
        return one_line(error).split(". ")[0]
    return ""
