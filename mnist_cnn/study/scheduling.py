"""Scheduling: what an idle worker does next, a new configuration or one that is continued."""

from statistics import median

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.experiment import Screen
from mnist_cnn.study import chains, screening
from mnist_cnn.study.study import Study, comparable
from mnist_cnn.study.trials import TRAINED, seconds_of_epoch


def next_trial(
    study: Study, *, wanted: int, seconds_left: float, overtime: float = 0.0
) -> optuna.Trial | None:
    """Ask Optuna for the next trial.

    Trials in the queue come first: baselines and interrupted trials. With screening, the best
    stopped trial is continued if it is good enough, see `screening`. Otherwise a new configuration
    begins, if the study wants more and there is time to train one in full. Once a trial is
    complete, none begins or is continued that there is no time to complete.

    Args:
        study: The study.
        wanted: The number of configurations that the study should have.
        seconds_left: The time for trials.
        overtime: How much longer a trial may take that is continued, or without screening any.

    Returns:
        The trial, or None if there is nothing to do at the moment.
    """
    ask, screen = study.trials.optuna_study.ask, study.plan.screen
    trials = study.trials.all()  # once: with many workers, reading them takes most of the time
    if any(trial.state == TrialState.WAITING for trial in trials):
        return ask()
    more = begun(trials) < wanted
    if screen:
        # Before the first `one_of` have begun, none may be continued, so they do not wait for that.
        few = begun(trials) < screen.one_of
        begin = more and (few or seconds_in_full(study, trials) < seconds_left)
        seconds = seconds_left + overtime
        continues = _continue(study, screen, trials, more=more, begin=begin, seconds_left=seconds)
        return ask() if continues or begin else None
    complete = comparable(trials)
    usual = median(map(_seconds, complete)) if complete else 0.0
    begin = more and (not complete or usual < seconds_left + overtime)
    return ask() if begin else None


def _continue(
    study: Study,
    screen: Screen,
    trials: list[FrozenTrial],
    *,
    more: bool,
    begin: bool,
    seconds_left: float,
) -> bool:
    """Enqueue the continuation of the best stopped trial, if one should be continued.

    It has to be good enough. If there is no time for a new configuration, the best one is continued
    anyway. So it is if no more are wanted, none is running and none is complete.

    Args:
        study: The study.
        screen: Its screening.
        trials: Its trials.
        more: Whether the study wants more configurations.
        begin: Whether a new one may begin.
        seconds_left: The time until a trial that is continued has to be complete.
    """
    complete = comparable(trials)
    running = any(trial.state == TrialState.RUNNING for trial in trials)

    def fits(trial: FrozenTrial) -> bool:
        epochs = study.plan.epochs - screening.last_epoch(screen, trial, study.plan.epochs)
        return not complete or epochs * (seconds_of_epoch(trial) or 0.0) < seconds_left

    anyway = (more and not begin) or not (more or running or complete)
    return screening.enqueue_next(study.trials.optuna_study, screen, fits=fits, anyway=anyway)


def begun(trials: list[FrozenTrial]) -> int:
    """Return how many configurations have begun, or have ended."""
    return chains.tried(trial for trial in trials if trial.state != TrialState.WAITING)


def seconds_in_full(study: Study, trials: list[FrozenTrial]) -> float:
    """Return how many seconds it will take to train a configuration to its last epoch.

    The estimate is the median over the trials that continued others up to the highest rung so far:
    these are the better configurations, and the first epoch, which takes the longest, has the
    smallest share. Without any it is the median over all trials, and 0 if none has stopped.
    """
    ended = [trial for trial in trials if trial.state.is_finished()]
    stopped = [trial for trial in ended if screening.STOPPED in trial.user_attrs]
    highest = max(map(chains.rung_of, stopped), default=0)
    seconds = [
        seconds_of_epoch(trial) or 0.0 for trial in stopped if chains.rung_of(trial) == highest
    ]
    return study.plan.epochs * median(seconds) if seconds else 0.0


def _seconds(trial: FrozenTrial) -> float:
    """Return how many seconds an ended trial has trained; 0 if it has not."""
    return float(trial.user_attrs.get(TRAINED, {}).get("seconds", 0.0))
