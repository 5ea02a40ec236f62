"""The outcome of a study's configurations, in words."""

from collections import Counter

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.study import screening
from mnist_cnn.study.study import BASELINE, EARLIER, Study, keeps_constraints


def tally(study: Study) -> str:
    """Return how many configurations were tried, and where they stopped."""
    trials = study.trials.finished()
    past = screening.superseded(trials)
    rungs = study.plan.screen.rungs if study.plan.screen else ()
    ends: Counter[str] = Counter()
    for trial in trials:
        if trial.number in past or screening.is_lost(trial):
            continue  # the trial that continues it is counted
        if trial.state == TrialState.COMPLETE:
            ends["complete"] += 1
        elif trial.state == TrialState.FAIL:
            ends["failed"] += 1
        elif screening.STOPPED in trial.user_attrs:
            ends[f"stopped after epoch {screening.last_epoch(study.plan.screen, trial, 0)}"] += 1
        elif not keeps_constraints(trial):
            ends["outside the constraints"] += 1
        else:
            ends["stopped by the pruner"] += 1
    order = [*(f"stopped after epoch {rung}" for rung in rungs), "stopped by the pruner"]
    order += ["outside the constraints", "failed", "complete"]
    found = ", ".join(f"{ends[end]} {end}" for end in order if ends[end])
    return f"configurations tried: {study.tried()}, of which {found}"


def origin(study: Study, trial: FrozenTrial) -> str:
    """Return where a trial's configuration is from, in words."""
    if is_baseline(study, trial):
        return "a baseline"
    first = study.trials.get(screening.first_of(trial)).user_attrs
    return f"found by {first[EARLIER]}" if EARLIER in first else "found by the search"


def is_baseline(study: Study, trial: FrozenTrial) -> bool:
    """Return whether a trial's configuration is one of the experiment's baselines.

    A sampler may come to the same configuration as a baseline.
    """
    first = study.trials.get(screening.first_of(trial))
    if BASELINE in first.user_attrs:
        return True
    baselines = [other for other in study.trials.all() if BASELINE in other.user_attrs]
    return bool(first.params) and any(other.params == first.params for other in baselines)
