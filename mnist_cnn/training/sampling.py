"""The sampler and the pruner of a trial, in its worker: their seeds and the packages they need."""

import copy
import importlib.util
from math import prod

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, QMCSampler
from optuna.trial import TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.optuna_internals import all_trials, innermost, sample_outside_with
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed

# These samplers import their package when they first sample, perhaps many trials after the start.
PACKAGES: dict[type[BaseSampler], str] = {GPSampler: "torch", CmaEsSampler: "cmaes"}


def sampler_of(experiment: Experiment, seed: int, number: int) -> BaseSampler:
    """Return the sampler for trial `number`.

    Its seed depends on the trial, so it does not matter which worker runs the trial. A sampler that
    goes through one sequence over all trials gets the same seed in all of them.

    Args:
        experiment: The experiment.
        seed: That of the study, see `trial.study_seed`.
        number: The number of the trial in the study.
    """
    own = experiment.sampler(seed=derived_seed(seed, number, 1))
    if not isinstance(innermost(own), GridSampler | QMCSampler):
        return own
    sampler = experiment.sampler(seed=derived_seed(seed, 1))
    sequence, other = innermost(sampler), innermost(own)
    if isinstance(sequence, QMCSampler) and isinstance(other, QMCSampler):
        sample_outside_with(sequence, other)
    return sampler


def check_sampling(experiment: Experiment) -> None:
    """Check that the sampler and the pruner can be created and have the packages that they need.

    Raises:
        UserError: One of them cannot be created, or a package is missing.
    """
    for name, make, kind in (
        ("sampler", lambda: experiment.sampler(seed=0), optuna.samplers.BaseSampler),
        ("pruner", lambda: experiment.pruner(), optuna.pruners.BasePruner),
    ):
        try:
            made = make()
        except Exception as error:
            raise UserError(
                f"its {name} cannot be created: {one_line(error)}; valid: a class, or "
                "functools.partial(CLASS, ...)"
            ) from error
        if not isinstance(made, kind):
            raise UserError(
                f"its {name} is {type(made).__name__}; valid: an Optuna {kind.__name__}"
            )
        if isinstance(made, BaseSampler):
            _check_packages(innermost(made))


def _check_packages(sampler: BaseSampler) -> None:
    for kind, package in PACKAGES.items():
        if isinstance(sampler, kind) and importlib.util.find_spec(package) is None:
            raise UserError(
                f"its sampler {kind.__name__} needs the package {package!r}, which is not "
                f"installed; type `.venv/bin/uv pip install {package}`"
            )


def repeats_a_trial(trial: optuna.Trial) -> bool:
    """Return whether the sampler gave the trial a grid point that an earlier trial has.

    That happens if no other point is left, or if two workers ask at the same time.
    """
    points = _points(trial)
    return trial.number in points and points[trial.number] in [
        point for number, point in points.items() if number < trial.number
    ]


def has_nothing_left(trial: optuna.Trial) -> bool:
    """Return whether every point of the sampler's grid belongs to a trial."""
    grid = all_trials(trial)[trial.number].system_attrs["search_space"]
    return len(set(_points(trial).values())) == prod(map(len, grid.values()))


def _points(trial: optuna.Trial) -> dict[int, int]:
    """Return the grid point of each trial of the study, by the trial's number."""
    if not isinstance(innermost(trial.study.sampler), GridSampler):
        return {}
    return {
        other.number: other.system_attrs["grid_id"]
        for other in all_trials(trial)
        if "grid_id" in other.system_attrs
    }


def after_trial(trial: optuna.Trial, state: TrialState, values: list[float] | None) -> bool:
    """Tell the sampler how its trial ended. Some samplers then compute constraints, or stop.

    The search process cannot do this: its study has a trivial sampler.

    Args:
        trial: The trial.
        state: How it ended.
        values: The values of the objectives, or None.

    Returns:
        Whether the sampler has nothing left to try.

    Raises:
        UserError: The sampler failed, such as in a user's function for constraints.
    """
    study, frozen = trial.study, copy.deepcopy(all_trials(trial)[trial.number])
    in_grid = "grid_id" in frozen.system_attrs
    if isinstance(innermost(study.sampler), GridSampler) and not in_grid:
        return False  # an enqueued trial is not a point of the grid, which Optuna does not expect
    try:
        study.sampler.after_trial(study, frozen, state, values)
    except Exception as error:
        # To stop, the sampler calls `Study.stop`, which only works inside `Study.optimize`.
        if isinstance(error, RuntimeError) and "Study.stop" in str(error):
            return True
        raise UserError(f"the sampler failed after a trial: {one_line(error)}") from error
    return False
