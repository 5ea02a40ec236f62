"""Scheduling: what an idle worker does next, a new configuration or one that is continued."""

from statistics import median

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen
from mnist_cnn.study import screening
from mnist_cnn.study.study import Study, keeps_constraints


def next_trial(
    study: Study, *, wanted: int, seconds_left: float, overtime: float = 0.0
) -> optuna.Trial | None:
    """Ask Optuna for the next trial.

    Trials in the queue come first: baselines and interrupted trials. With screening, the best
    stopped trial is continued if it is good enough, see `screening`. Otherwise a new configuration
    begins, if the study wants more and there is time to train one in full. The first `one_of`
    configurations begin in any case: before that many were tried, none may be continued, and the
    estimate of the time is too long. If there is no time for a new one, the best stopped trials are
    continued anyway. If all configurations were tried and none is complete, the best one is
    continued too. Once a trial is complete, others begin or are continued only if there is time to
    complete them.

    Args:
        study: The study.
        wanted: The number of configurations that the study should have.
        seconds_left: The time for trials.
        overtime: How much longer a trial may take that is continued, or without screening any.

    Returns:
        The trial, or None if there is nothing to do at the moment.
    """
    optuna_study, screen = study.trials.optuna_study, study.plan.screen
    trials = study.trials.all()  # once: with many workers, reading them takes most of the time
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    more = begun(trials) < wanted
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    complete = [trial for trial in finished if keeps_constraints(trial)]
    if not screen:
        usual = median(map(_seconds, complete)) if complete else 0.0
        begin = more and (not complete or usual < seconds_left + overtime)
    else:

        def fits(trial: FrozenTrial) -> bool:
            epochs = study.plan.epochs - screening.last_epoch(screen, trial, study.plan.epochs)
            seconds = epochs * _seconds_of_epoch(trial, screen)
            return not complete or seconds < seconds_left + overtime

        few = begun(trials) < screen.one_of
        begin = more and (few or seconds_in_full(study, screen) < seconds_left)
        out_of_time = more and not begin
        none_complete = not more and not running and not complete
        anyway = out_of_time or none_complete
        screening.enqueue_next(optuna_study, screen, fits=fits, anyway=anyway)
        waiting = bool(study.trials.all(TrialState.WAITING))
    if begin or waiting:
        return optuna_study.ask()
    return None


def begun(trials: list[FrozenTrial]) -> int:
    """Return how many configurations have begun, or have ended."""
    return screening.tried(trial for trial in trials if trial.state != TrialState.WAITING)


def seconds_in_full(study: Study, screen: Screen) -> float:
    """Return how many seconds it will take to train a configuration to its last epoch.

    The estimate is the median over the trials that continued others up to the highest rung so far:
    these are the better configurations, and building them took the smallest share of their time.
    Without any it is the median over all trials, and 0 if none has stopped.
    """
    stopped = [trial for trial in study.trials.finished() if screening.STOPPED in trial.user_attrs]
    highest = max(map(screening.rung_of, stopped), default=0)
    seconds = [
        _seconds_of_epoch(trial, screen) for trial in stopped if screening.rung_of(trial) == highest
    ]
    return study.plan.epochs * median(seconds) if seconds else 0.0


def _seconds_of_epoch(trial: FrozenTrial, screen: Screen) -> float:
    before = screening.epochs_before(screen, trial)
    return _seconds(trial) / (screening.last_epoch(screen, trial, 0) - before)


def _seconds(trial: FrozenTrial) -> float:
    assert trial.duration is not None
    return trial.duration.total_seconds()
