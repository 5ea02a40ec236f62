"""The sampler and the pruner of a trial, in its worker: their seeds and the packages they need."""

import copy
import importlib.util
from collections.abc import Sequence
from math import prod

import optuna
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    RandomSampler,
)
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Experiment
from mnist_cnn.optuna_internals import (
    all_trials,
    innermost,
    is_enqueued,
    sample_outside_with,
    with_innermost,
)
from mnist_cnn.study.chains import REPEATS, first_of
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed

# After so many repeated configurations in a row, hardly any can be left. KerasTuner allows as many.
REPEATS_IN_A_ROW = 20
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
                f"installed; type `.venv/bin/uv pip install --python .venv {package}`"
            )


def random_after_repeats(
    sampler: BaseSampler, trials: Sequence[FrozenTrial], number: int, seed: int
) -> BaseSampler:
    """Return a random sampler if the last trial was repeated, otherwise the given sampler.

    A sampler that has found the best of a small space would suggest it again and again. One that
    enumerates the space is kept.

    Args:
        sampler: The sampler of the experiment.
        trials: The trials of the study, by number.
        number: The number of the trial that is sampled.
        seed: As for `sampler_of`.
    """
    enumerates = isinstance(innermost(sampler), BruteForceSampler | GridSampler | QMCSampler)
    if enumerates or not _repeats_before(number, trials):
        return sampler
    return with_innermost(sampler, RandomSampler(derived_seed(seed, number, 1)))


def repeated_trial(trial: optuna.Trial, also_running: bool = False) -> int | None:
    """Return the number of another trial with the same configuration; None if there is none.

    Enqueued trials, such as baselines, and spaces without parameters may repeat themselves.

    Args:
        trial: A trial that has not started training. Before its model is built it has no parameters
            yet, but if its sampler is a grid, its point is known.
        also_running: Whether earlier trials that have not ended count too.
    """
    points = _points(trial)
    if trial.number in points:
        same = [n for n, point in points.items() if point == points[trial.number]]
        return min(same) if min(same) < trial.number else None
    trials = all_trials(trial)
    if not trial.params or is_enqueued(trials[trial.number]):
        return None
    for other in trials:
        if other.number == trial.number or other.params != trial.params:
            continue
        ended = other.state in (TrialState.COMPLETE, TrialState.PRUNED)
        earlier = other.number < trial.number and not other.state.is_finished()
        if ended or (earlier and also_running):
            return other.number
    return None


def has_nothing_left(trial: optuna.Trial) -> bool:
    """Return whether there is nothing left to try, given that the trial repeats another one.

    This is so if every point of the sampler's grid belongs to a trial, or if the trials before this
    one were repeated too.
    """
    if points := _points(trial):
        grid = all_trials(trial)[trial.number].system_attrs["search_space"]
        return len(set(points.values())) == prod(map(len, grid.values()))
    return 1 + _repeats_before(trial.number, all_trials(trial)) >= REPEATS_IN_A_ROW


def _repeats_before(number: int, trials: Sequence[FrozenTrial]) -> int:
    """Return how many sampled trials in a row, up to the last one before `number`, are repeated.

    Trials that have not ended are left out.
    """
    count = 0
    for trial in reversed(trials):
        sampled = first_of(trial) == trial.number and not is_enqueued(trial)
        if trial.number >= number or not sampled or not trial.state.is_finished():
            continue
        if REPEATS not in trial.user_attrs:
            break
        count += 1
    return count


def _points(trial: optuna.Trial) -> dict[int, int]:
    """Return the grid point of each trial, by its number, without those that this one continues."""
    if not isinstance(innermost(trial.study.sampler), GridSampler):
        return {}
    return {
        other.number: other.system_attrs["grid_id"]
        for other in all_trials(trial)
        if "grid_id" in other.system_attrs
        and (other.number == trial.number or first_of(other) != first_of(trial))
    }


def after_trial(
    sampler: BaseSampler, trial: optuna.Trial, state: TrialState, values: list[float] | None
) -> bool:
    """Tell a sampler how a trial ended. Some samplers then compute constraints, or stop.

    The search process cannot do this: its study has a trivial sampler.

    Args:
        sampler: The sampler of the experiment.
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
    if isinstance(innermost(sampler), GridSampler) and not in_grid:
        return False  # an enqueued trial is not a point of the grid, which Optuna does not expect
    try:
        sampler.after_trial(study, frozen, state, values)
    except Exception as error:
        # To stop, the sampler calls `Study.stop`, which only works inside `Study.optimize`.
        if isinstance(error, RuntimeError) and "Study.stop" in str(error):
            return True
        raise UserError(f"the sampler failed after a trial: {one_line(error)}") from error
    return False
