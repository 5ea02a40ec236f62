"""A look at an experiment before its first trial: what no trial could succeed with is refused."""

from collections.abc import Mapping
from typing import Any

import keras
import optuna

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.plan import Plan, baselines, plan
from mnist_cnn.project import load_experiment
from mnist_cnn.training.build import build
from mnist_cnn.training.data import Data, load_data
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.run import COST_METRICS


def check(experiment_name: str) -> Plan:
    """Build each baseline's model and score eight images with it, in a worker process.

    Without baselines it is the model of the space's defaults. Returns the experiment's plan.

    Raises UserError for damaged data, a baseline that cannot be built or does not fit the data, and
    an objective whose metric does not exist.
    """
    experiment = load_experiment(experiment_name)
    _try_sampling(experiment_name, experiment)
    data = load_data(experiment_name)
    for baseline in baselines(experiment) or ({},):
        scores = _try(experiment_name, experiment, data, baseline)
    epoch_metrics = [f"val_{name}" for name in scores]
    for index, objective in enumerate(experiment.objectives):
        valid = epoch_metrics if index == 0 else [*epoch_metrics, *COST_METRICS]
        if objective.metric not in valid:
            raise UserError(
                f"experiment {experiment_name!r}: the objective's metric {objective.metric!r} does "
                f"not exist; valid: {', '.join(valid)}"
            )
    return plan(experiment_name, experiment)


def _try_sampling(experiment_name: str, experiment: Experiment) -> None:
    for name, make, kind in (
        ("sampler", lambda: experiment.sampler(seed=0), optuna.samplers.BaseSampler),
        ("pruner", lambda: experiment.pruner(), optuna.pruners.BasePruner),
    ):
        try:
            made = make()
        except Exception as error:
            raise UserError(
                f"experiment {experiment_name!r}: its {name} cannot be made: {one_line(error)}; "
                "valid: a class, or functools.partial(CLASS, ...)"
            ) from error
        if not isinstance(made, kind):
            raise UserError(
                f"experiment {experiment_name!r}: its {name} gives {type(made).__name__}; "
                f"valid: an Optuna {kind.__name__}"
            )


def _try(
    experiment_name: str, experiment: Experiment, data: Data, baseline: Mapping[str, Any]
) -> dict[str, float]:
    """What the model of a baseline scores on a few images."""
    study = optuna.create_study()
    study.enqueue_trial(dict(baseline))
    hp = TrialHyperParameters(study.ask())
    few = data.validation[slice(8)]
    try:
        model = build(experiment, data.dataset, hp)
        model.jit_compile = False
        scores: dict[str, float] = model.evaluate(few.x, few.y, verbose=0, return_dict=True)
    except Exception as error:  # the space is the user's code and may raise anything
        raise UserError(
            f"experiment {experiment_name!r}: the baseline's model does not work: {one_line(error)}"
        ) from error
    finally:
        keras.backend.clear_session()
    if unknown := sorted(baseline.keys() - hp.values.keys()):
        raise UserError(
            f"experiment {experiment_name!r}: the baseline names {unknown[0]!r}, which its model "
            f"does not have; valid: {', '.join(hp.values)}"
        )
    return scores
