"""What a trial checks and reports while it is built and trained, and why it then ends early.

Each function returns one that the training calls, see `Run` and `train`.
"""

import math
from collections.abc import Callable

import optuna

from mnist_cnn.experiment import Experiment
from mnist_cnn.optuna_internals import report_value
from mnist_cnn.study import screening
from mnist_cnn.study.outcome import objective_value
from mnist_cnn.study.study import BASELINE, BUILT, EARLIER, OF
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.build import has_own_fit
from mnist_cnn.training.callbacks import OnEpoch, Stop
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.run import Run
from mnist_cnn.training.sampling import repeated_trial


class RepeatedError(Exception):
    """A trial has the configuration of an earlier one.

    Attributes:
        number: The number of the earlier trial.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def note_sampled(
    experiment: Experiment, journal: Journal, trial: optuna.Trial
) -> Callable[[], None]:
    """Return a function that is called once a trial is sampled, and its model built.

    It marks a baseline, which `PriorSampler` may vary from then on, and ends a trial that repeats
    another one.
    """
    # A HyperModel's own `fit` may sample more, so until it has ended a trial is only known in part.
    also_running = not has_own_fit(experiment.space)

    def note() -> None:
        if {BASELINE, EARLIER} & trial.user_attrs.keys():
            trial.set_user_attr(BUILT, True)
        if not journal.started and (number := repeated_trial(trial, also_running)) is not None:
            raise RepeatedError(number)

    return note


def size_check(experiment: Experiment, trial: optuna.Trial) -> Callable[[EpochMetrics], None]:
    """Return a function that prunes a trial whose model is too large, or too small."""

    def check(size: EpochMetrics) -> None:
        if broken := broken_constraints(experiment, trial, size):
            raise optuna.TrialPruned(broken)

    return check


def broken_constraints(experiment: Experiment, trial: optuna.Trial, metrics: EpochMetrics) -> str:
    """Report the violations of the constraints to Optuna, as far as the metrics are known.

    Confirmations are of trials that satisfy them.

    Returns:
        The violated constraints, in words; "" if there are none.
    """
    broken = []
    for constraint in experiment.constraints if OF not in trial.user_attrs else ():
        value = objective_value(metrics, constraint.metric)
        if not math.isfinite(value):
            continue
        violation = constraint.violation(value)
        if str(constraint) not in trial.constraints:  # otherwise the trial was resumed
            trial.set_constraint(str(constraint), violation)
        if violation > 0:
            broken.append(constraint.broken(value))
    return "; ".join(broken)


def reporter(run: Run, trial: optuna.Trial) -> OnEpoch:
    """Return a function that reports each epoch to Optuna, and returns why to stop, if so."""
    metric = run.experiment.objectives[0].metric
    before = screening.epochs_before(run.experiment.screen, trial)
    last = screening.last_epoch(run.experiment.screen, trial, run.epochs)

    def report(epoch: int, metrics: EpochMetrics) -> Stop | None:
        if metric not in metrics:  # the epoch was not validated, or its own `fit` returns it later
            return None
        report_value(trial, metrics[metric], epoch)
        if epoch <= before or epoch >= run.epochs:
            return None  # it was already decided to continue up to this rung
        if epoch >= last:
            return Stop("rung", f"stopped at the rung of epoch {last}")
        if trial.should_prune():
            return Stop("pruned", f"behind the others after epoch {epoch}")
        return None

    if len(run.experiment.objectives) > 1 or OF in trial.user_attrs:
        # Optuna does not support reports with several objectives. Confirmations are never pruned.
        return lambda epoch, metrics: None
    return report
