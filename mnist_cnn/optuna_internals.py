"""What this project needs of Optuna and has no public way. tests/test_optuna_internals.py holds it.

Everything else uses Optuna's public API.
"""

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, QMCSampler
from optuna.storages import BaseStorage
from optuna.trial import BaseTrial, Trial, TrialState


def adopt_trial(study: Study, trial_id: int) -> Trial:
    """Return a trial that another process asked for, to sample and report in this one.

    `Study.ask` only hands out new trials, and Optuna says not to use `Trial` directly.

    Args:
        study: With the sampler and pruner of the trial.
        trial_id: Its id in the storage.
    """
    return Trial(study, trial_id)


def report_value(trial: Trial, value: float, step: int) -> None:
    """Report an intermediate value, in the place of one that the trial has for this step.

    `Trial.report` ignores a second value, though a training that begins anew has others.
    """
    if step in trial._cached_frozen_trial.intermediate_values:
        trial.storage.set_trial_intermediate_value(trial._trial_id, step, value)
        trial._cached_frozen_trial.intermediate_values[step] = value
    else:
        trial.report(value, step)


def requeue_trial(storage: BaseStorage, study_name: str, number: int) -> None:
    """Put a running trial back into the study's queue; it keeps its parameters and values.

    Optuna's own way, `RetryHeartbeatStaleTrialCallback`, makes a second trial of it. A storage
    takes the change, though no `Study` offers it.
    """
    storage.set_trial_state_values(trial_id(storage, study_name, number), TrialState.WAITING)


def trial_id(storage: BaseStorage, study_name: str, number: int) -> int:
    """Return a trial's id in the storage. Public, but two calls: `FrozenTrial` hides it."""
    study_id = storage.get_study_id_from_name(study_name)
    return storage.get_trial_id_from_study_id_trial_number(study_id, number)


def enqueued_values(trial: BaseTrial) -> dict[str, Any] | None:
    """Return the values that `Study.enqueue_trial` gave the trial; None if it was not enqueued."""
    if not isinstance(trial, Trial):
        return None
    # A cached storage writes only to trials that it has read, and `Trial(study, id)` reads none.
    trial.study.get_trials(deepcopy=False)
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    values: dict[str, Any] | None = attributes.get("fixed_params")
    return values


def answer_next(trial: BaseTrial, name: str, stored: Any) -> None:
    """Have the next suggestion of `name` answer `stored` and record it, whatever the sampler says.

    Optuna looks into this dictionary first. It may be the storage's own, so it is replaced rather
    than changed.
    """
    assert isinstance(trial, Trial)
    trial._fixed_params = {**trial._fixed_params, name: stored}


def innermost(sampler: BaseSampler) -> BaseSampler:
    """Return the sampler that is asked in the end, without those that only fix some parameters."""
    while isinstance(sampler, PartialFixedSampler):
        sampler = sampler._base_sampler
    return sampler


def sample_outside_with(sampler: QMCSampler, other: QMCSampler) -> None:
    """Have `sampler` sample what is outside of its sequence as `other` does.

    Its own way of that has the seed of the sequence, which gives every trial the same.
    """
    sampler._independent_sampler = other._independent_sampler


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a distribution can give `value`, in its external representation."""
    return distribution._contains(distribution.to_internal_repr(value))
