"""Warm start: a new study begins with the best configurations of the one before it.

An edit opens a new study, because trials of different spaces, data or budgets cannot be compared.
What was best before is still a good guess. So it is tried again, after the baselines. Its scores
are then those of the new study, and samplers learn from it as from any other trial.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.optuna_internals import values_in_queue
from mnist_cnn.study.candidates import candidates
from mnist_cnn.study.chains import first_of
from mnist_cnn.study.opening import load_study, study_names
from mnist_cnn.study.study import BASELINE, EARLIER, Study
from mnist_cnn.study.trials import VALUES

MOST = 3  # configurations
ONE_OF = 4  # at most this share of the new study's configurations
CHECKED = 20  # of the best, which the space may not accept any more


def most_from_earlier(wanted: int, baselines: int) -> int:
    """Return how many configurations of an earlier study a new one tries at most.

    Args:
        wanted: The number of configurations that the new study should have.
        baselines: The number of its experiment's baselines.
    """
    return max(0, min(MOST, wanted // ONE_OF, wanted - baselines))


def best_of_earlier(study: Study) -> tuple[str, list[dict[str, Any]]]:
    """Return the best configurations of the newest earlier study that has complete trials.

    There are none if the new study has begun, or ranks trials by other objectives. Configurations
    that are baselines of both studies are left out.

    Args:
        study: The new study.

    Returns:
        The name of the earlier study, and the values as its space saw them, best first.
    """
    if not study.plan.warm_start or _has_begun(study):
        return "", []
    names = study_names(study.storage, study.plan.name)
    for name in reversed(names[: names.index(study.name)]):
        earlier = load_study(study.plan, study.storage, name)
        ranked = [candidate.trial for candidate in candidates(earlier)]
        if ranked and earlier.objectives != study.objectives:
            break
        known = [trial for trial in ranked if VALUES in trial.user_attrs]
        found = [trial for trial in known if not _is_baseline_of_both(earlier, study, trial)]
        if found:
            return name, [dict(trial.user_attrs[VALUES]) for trial in found[:CHECKED]]
    return "", []


def _has_begun(study: Study) -> bool:
    """Return whether a trial has begun, or an earlier study's configurations are queued already."""
    return any(
        trial.state != TrialState.WAITING or EARLIER in trial.user_attrs
        for trial in study.trials.all()
    )


def _is_baseline_of_both(earlier: Study, study: Study, trial: FrozenTrial) -> bool:
    first = earlier.trials.get(first_of(trial))
    return BASELINE in first.user_attrs and values_in_queue(first) in study.plan.baselines


def enqueue(study: Study, name: str, configurations: Sequence[Mapping[str, Any]]) -> str:
    """Enqueue configurations of an earlier study.

    Args:
        study: The new study.
        name: The name of the earlier study.
        configurations: The values, as the new study's space sees them.

    Returns:
        A message.
    """
    if not configurations:
        return f"the best configurations of {name} are baselines now, or not valid any more"
    for values in configurations:
        study.trials.optuna_study.enqueue_trial(dict(values), user_attrs={EARLIER: name})
    count = len(configurations)
    best = f"the best {count} configurations" if count > 1 else "the best configuration"
    return (
        f"{best} of {name} that the space accepts will be tried early; warm_start=False in the "
        "experiment prevents it"
    )
