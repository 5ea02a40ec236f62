"""All uses of Optuna's private API, and of public methods that a `Study` does not offer.

tests/test_optuna_internals.py fails if Optuna changes them. Everything else uses the public API.
"""

import warnings
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna._hypervolume.wfg import compute_hypervolume
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, QMCSampler
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._grpc.server import make_server
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState, create_trial


def adopt_trial(study: Study, trial_id: int) -> Trial:
    """Return a trial that another process asked for, to sample and report in this process.

    `Study.ask` only returns new trials, and Optuna advises against creating a `Trial` directly.

    Args:
        study: The study, with the trial's sampler and pruner.
        trial_id: The id of the trial in the storage.
    """
    # As `Study.ask` does. Otherwise samplers would only see the trials from before the first one.
    study._thread_local.cached_all_trials = None
    return Trial(study, trial_id)


def all_trials(trial: Trial) -> list[FrozenTrial]:
    """Return all trials of a trial's study by number, as they are, also of a `StudyAs`.

    Do not modify them.
    """
    return trial.storage.get_all_trials(trial.study._study_id, deepcopy=False)


class StudyAs(Study):
    """A study that shows its sampler and its pruner other trials than it has.

    Args:
        name: The name of the study.
        storage: The storage.
        shown: Given all trials, returns those to show. It must not modify them.
    """

    def __init__(
        self,
        name: str,
        storage: BaseStorage,
        shown: Callable[[Sequence[FrozenTrial]], list[FrozenTrial]],
    ) -> None:
        super().__init__(name, storage)
        self._shown = shown

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self._shown(super()._get_trials(deepcopy, None, use_cache))
        return [trial for trial in trials if states is None or trial.state in states]


def report_value(trial: Trial, value: float, step: int) -> None:
    """Report an intermediate value, and replace an earlier one for the same step.

    `Trial.report` ignores a second value, but a run that starts over has other values.
    """
    if step in trial._cached_frozen_trial.intermediate_values:
        trial.storage.set_trial_intermediate_value(trial._trial_id, step, value)
        trial._cached_frozen_trial.intermediate_values[step] = value
    else:
        trial.report(value, step)


def requeue_trial(storage: BaseStorage, study_name: str, number: int) -> None:
    """Put a running trial back into the study's queue. It keeps its parameters and values.

    Optuna's `RetryHeartbeatStaleTrialCallback` would create a second trial. A storage allows the
    change of state, although `Study` has no method for it.
    """
    storage.set_trial_state_values(trial_id(storage, study_name, number), TrialState.WAITING)


def enqueue_again(study: Study, trial: FrozenTrial, user_attrs: dict[str, Any]) -> None:
    """Enqueue a trial that begins with what another one has sampled.

    It has the other one's parameters, as if it had been interrupted, and is answered the rest like
    the other one: from the values that `Study.enqueue_trial` gave that, at its point of a grid, or
    by the sampler. `Study.enqueue_trial` itself would leave nothing to the sampler.

    Args:
        study: The study.
        trial: The other trial.
        user_attrs: The attributes of the new trial.
    """
    answers = {"fixed_params", "grid_id", "search_space"} & trial.system_attrs.keys()
    again = create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=user_attrs,
        system_attrs={name: trial.system_attrs[name] for name in answers},
    )
    study.add_trial(again)


def trial_of(study: Study, number: int) -> FrozenTrial:
    """Return one trial as it is now. Do not modify it.

    `Study.get_trials` reads every unfinished trial again, which takes most of the time of a search
    process with many workers.
    """
    storage = study._storage
    one = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    return storage.get_trial(one)


def trial_id(storage: BaseStorage, study_name: str, number: int) -> int:
    """Return a trial's id in the storage. `FrozenTrial` has it only as a private attribute."""
    study_id = storage.get_study_id_from_name(study_name)
    return storage.get_trial_id_from_study_id_trial_number(study_id, number)


def serve_storage(storage: RDBStorage, host: str, port: int, threads: int) -> Any:
    """Start a gRPC server of a storage, and return it.

    Optuna's `run_grpc_proxy_server` returns only when it ends, so its caller cannot know when it is
    ready.

    Args:
        storage: The storage. Trials that have finished are read from it once.
        host: The address to listen on.
        port: The port.
        threads: How many requests are answered at the same time.
    """
    server = make_server(_CachedStorage(storage), host, port, ThreadPoolExecutor(threads))
    server.start()
    return server


def storage_at(host: str, port: int) -> GrpcStorageProxy:
    """Return the storage that a gRPC server serves, without contacting it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GrpcStorageProxy(host=host, port=port)


def enqueued_values(trial: BaseTrial) -> dict[str, Any] | None:
    """Return the values that `Study.enqueue_trial` gave the trial; None if it was not enqueued."""
    if not isinstance(trial, Trial):
        return None
    # A cached storage only writes to trials that it has read, and `Trial(study, id)` reads none.
    trial.study.get_trials(deepcopy=False)
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    values: dict[str, Any] | None = attributes.get("fixed_params")
    return values


def values_in_queue(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values that `Study.enqueue_trial` gave a trial of a study; none if it did not."""
    return dict(trial.system_attrs.get("fixed_params", {}))


def is_enqueued(trial: FrozenTrial) -> bool:
    """Return whether a trial was enqueued, if only with no values."""
    return "fixed_params" in trial.system_attrs


def answer_next(trial: BaseTrial, name: str, stored: Any) -> None:
    """Make the trial's next suggestion of `name` return and record a value, without the sampler.

    Optuna looks in this dictionary before it samples. The dictionary may belong to the storage, so
    it is replaced rather than changed.

    Args:
        trial: The trial.
        name: The name of the parameter.
        stored: The value in its external representation.
    """
    assert isinstance(trial, Trial)
    trial._fixed_params = {**trial._fixed_params, name: stored}


def hypervolume(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume between a reference point and the points that dominate it.

    Args:
        losses: The points, of shape (n, objectives). Less is better.
        reference: The reference point, of shape (objectives,).
    """
    return float(compute_hypervolume(losses, reference))


def innermost(sampler: BaseSampler) -> BaseSampler:
    """Return the sampler inside any `PartialFixedSampler`, which only fixes some parameters."""
    while isinstance(sampler, PartialFixedSampler):
        sampler = sampler._base_sampler
    return sampler


def with_innermost(sampler: BaseSampler, replacement: BaseSampler) -> BaseSampler:
    """Return a sampler like `sampler`, with a replacement for the innermost one."""
    if not isinstance(sampler, PartialFixedSampler):
        return replacement
    inner = with_innermost(sampler._base_sampler, replacement)
    return PartialFixedSampler(sampler._fixed_params, inner)


def sample_outside_with(sampler: QMCSampler, other: QMCSampler) -> None:
    """Make `sampler` sample parameters outside its sequence with the random state of `other`.

    By default these have the seed of the sequence, so every trial would get the same values.
    """
    sampler._independent_sampler = other._independent_sampler


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a distribution contains `value`, given in its external representation."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:  # another type, or no choice
        return False
