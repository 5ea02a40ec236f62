"""A trial's sampler and pruner in its worker: which seed the sampler has, and what it needs."""

import importlib.util

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, QMCSampler
from optuna.trial import TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed

# They import these when they first sample, which may be many trials after the start.
PACKAGES: dict[type[BaseSampler], str] = {GPSampler: "torch", CmaEsSampler: "cmaes"}


def sampler_of(experiment: Experiment, number: int) -> BaseSampler:
    """Return the sampler for trial `number`.

    It is seeded by the trial, so that it does not matter which worker takes it. A sampler whose
    points are one sequence over all trials has the study's seed instead.
    """
    sampler = experiment.sampler(seed=derived_seed(experiment.seed, 1))
    if isinstance(sampler, QMCSampler):
        sampler.reseed_rng()  # only of what it samples outside of the sequence
        return sampler
    if isinstance(sampler, GridSampler):
        return sampler
    return experiment.sampler(seed=derived_seed(experiment.seed, number, 1))


def check_sampling(experiment: Experiment) -> None:
    """Check that the sampler and the pruner can be made and have the packages that they need.

    Raises:
        UserError: One of them cannot; the message says what is valid, or what to install.
    """
    for name, make, kind in (
        ("sampler", lambda: experiment.sampler(seed=0), optuna.samplers.BaseSampler),
        ("pruner", lambda: experiment.pruner(), optuna.pruners.BasePruner),
    ):
        try:
            made = make()
        except Exception as error:
            raise UserError(
                f"its {name} cannot be made: {one_line(error)}; valid: a class, or "
                "functools.partial(CLASS, ...)"
            ) from error
        if not isinstance(made, kind):
            raise UserError(
                f"its {name} gives {type(made).__name__}; valid: an Optuna {kind.__name__}"
            )
        package = PACKAGES.get(type(made))  # type: ignore[arg-type]
        if package and importlib.util.find_spec(package) is None:
            raise UserError(
                f"its {name} {type(made).__name__} needs the package {package!r}, which is not "
                f"installed; type `.venv/bin/python -m pip install {package}`"
            )


def has_nothing_left(trial: optuna.Trial) -> bool:
    """Return whether the sampler could give the trial only what another trial has already."""
    if not isinstance(trial.study.sampler, GridSampler):
        return False
    attributes = [other.system_attrs for other in trial.study.get_trials(deepcopy=False)]
    points = [found["grid_id"] for found in attributes if "grid_id" in found]
    own = attributes[trial.number].get("grid_id")
    return own is not None and points.count(own) > 1


def after_trial(trial: optuna.Trial, state: TrialState, values: list[float] | None) -> bool:
    """Tell the trial's sampler how it ended: some compute constraints then, or ask to stop.

    The search process tells Optuna with a sampler that knows nothing of this one.

    Returns:
        Whether the sampler has nothing left to try.

    Raises:
        UserError: The sampler failed, as in a function of the user's.
    """
    study, frozen = trial.study, trial.study.get_trials()[trial.number]
    if isinstance(study.sampler, GridSampler) and "grid_id" not in frozen.system_attrs:
        return False  # it was enqueued and is no point of the grid, which Optuna does not expect
    try:
        study.sampler.after_trial(study, frozen, state, values)
    except Exception as error:
        # `Study.stop` only works inside of `Study.optimize`.
        if isinstance(error, RuntimeError) and "Study.stop" in str(error):
            return True
        raise UserError(f"the sampler failed after a trial: {one_line(error)}") from error
    return False
