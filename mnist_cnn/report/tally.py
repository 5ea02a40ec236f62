"""The outcome of a study's configurations, in words."""

from collections import Counter

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.objectives import keeps_constraints
from mnist_cnn.study import chains, screening
from mnist_cnn.study.study import BASELINE, EARLIER, Study


def tally(study: Study) -> str:
    """Return how many configurations were tried, and where they stopped."""
    trials = study.trials.finished()
    past = chains.superseded(trials)
    rungs = study.plan.screen.rungs if study.plan.screen else ()
    ends: Counter[str] = Counter()
    for trial in trials:
        if trial.number in past or chains.is_lost(trial):
            continue  # the trial that continues it is counted
        if chains.REPEATS in trial.user_attrs:
            continue  # it was not trained
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
    number = chains.first_of(trial)
    if number in baselines(study):
        return "a baseline"
    first = study.trials.get(number).user_attrs
    return f"found by {first[EARLIER]}" if EARLIER in first else "found by the search"


def baselines(study: Study) -> set[int]:
    """Return the numbers of the trials whose configuration is one of the experiment's baselines.

    A sampler may come to the same configuration as a baseline.
    """
    trials = study.trials.all()
    known = [each.params for each in trials if BASELINE in each.user_attrs and each.params]
    return {each.number for each in trials if BASELINE in each.user_attrs or each.params in known}
