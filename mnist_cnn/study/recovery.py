"""Recovers from a killed search at the next start: Optuna, journals, files.

Trials without a worker are put back into the queue, Optuna is told the ends that it missed, and
files that are no longer needed are removed. A second recovery finds nothing to do. The caller holds
the study's lock. MLflow is not touched: `tracking.sync` brings it what the journals have.
"""

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.errors import UserError
from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.study import chains
from mnist_cnn.study.lock import StudyLock, StudyLocked
from mnist_cnn.study.opening import load_study, study_names
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import CONFIRM_SUFFIX, Study
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.journal import Journal

# How long to wait for the workers of a killed search. They die within milliseconds of it, unless
# they are suspended.
WORKER_SECONDS = 60.0


def recover(study: Study) -> list[str]:
    """Make Optuna, the journals and the files of a study agree.

    Returns:
        One message for each repair.

    Raises:
        UserError: A worker of an earlier search is still alive.
    """
    lines: list[str] = []
    for trials in (study.trials, study.confirmations):
        for trial in trials.all():
            lines += _repair(trials, trial)
    lines += study.continue_lost()
    for number in study.remove_obsolete_files(trial.number for trial in study.trials.finished()):
        lines.append(f"trial {number} is finished; removed files that it no longer needs")
    for trial in study.confirmations.finished():
        if chains.is_lost(trial):
            continue  # the one that continues it may need its checkpoint
        (study.confirmations.folder_of(trial) / CHECKPOINT_FILE).unlink(missing_ok=True)
    return lines


def close_others(study: Study) -> list[str]:
    """Close what killed searches left open in the experiment's other studies.

    These studies continue only if a user names them, and never under another version of the
    package, so nothing else would close their runs. A study that another search holds is left
    alone.

    Returns:
        One message for each study that was closed.
    """
    lines = []
    for name in study_names(study.storage, study.plan.name):
        if name == study.name:
            continue
        try:
            with StudyLock(study.storage, name):
                if _close(load_study(study.plan, study.storage, name)):
                    lines.append(f"{name} was interrupted; closed its runs")
        except StudyLocked:
            continue
        except UserError as error:  # such as a suspended worker of it
            lines.append(f"{name} stays as it is: {error}")
    return lines


def _close(study: Study) -> bool:
    """Queue the study's running trials and pause its open runs. Return whether there were any."""
    found = False
    known = optuna.get_all_study_names(open_storage(study.storage))
    has_confirmations = study.name + CONFIRM_SUFFIX in known
    for trials in (study.trials, study.confirmations) if has_confirmations else (study.trials,):
        for trial in trials.all(TrialState.RUNNING):
            trials.wait_for_worker(trial.number, WORKER_SECONDS)
            trials.pause(trial.number)
            found = True
    for folder in (*study.folder.glob("*/"), study.folder):
        journal = Journal(folder)
        found = found or journal.interrupted
        journal.pause()
    return found


def _repair(trials: Trials, trial: FrozenTrial) -> Iterator[str]:
    number = trial.number
    folder = trials.folder_of(trial)
    name = folder.name
    if trial.state == TrialState.RUNNING:
        trials.wait_for_worker(number, WORKER_SECONDS)
        journal = trials.journal(number)
        trials.pause(number)
        if journal.ended:
            yield f"{name} had ended; told Optuna"
        else:
            yield f"{name} was interrupted (epochs done: {journal.last_step}); queued to resume"
        return
    journal = Journal(folder)
    if not journal.interrupted:
        return
    if trial.state == TrialState.WAITING:
        trials.wait_for_worker(number, WORKER_SECONDS)
        journal.pause()
        yield f"{name} was queued to resume; paused its run"
    else:
        reason = trial.user_attrs.get("reason", "")
        write_end(journal, trial.state.name, reason=reason, values=trial.values)
        yield f"{name} is finished; ended its run"
