"""What a killed search left behind is put right at the next start: Optuna, journals, files.

Trials that nobody works on any more are queued, ends that were written and not told are told, files
that nobody needs are removed. MLflow follows the journals. Done twice, the second time finds
nothing. The caller holds the study's lock, and the workers of a killed search are waited for.
"""

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.study.lock import StudyLock, StudyLocked
from mnist_cnn.study.opening import load_study, study_names
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import Study
from mnist_cnn.study.trials import Trials
from mnist_cnn.tracking.journal import Journal

# Workers of a killed search die with it, in milliseconds. A process that is stopped does not.
WORKER_SECONDS = 60.0


def recover(study: Study) -> list[str]:
    """Make Optuna, the journals and the files of a study agree; returns a line for each mend."""
    lines: list[str] = []
    for trials in (study.trials, study.confirmations):
        for trial in trials.all():
            lines += _mend(trials, trial)
    for number in study.remove_obsolete_files(trial.number for trial in study.trials.finished()):
        lines.append(f"trial {number} is finished; files that it needs no longer are removed")
    for trial in study.confirmations.finished():
        (study.confirmations.folder(trial.number) / CHECKPOINT_FILE).unlink(missing_ok=True)
    return lines


def close_others(study: Study) -> list[str]:
    """Close what killed searches left open of the experiment's other studies.

    Nobody goes on with them unless he names them, and a study of another version never goes on. A
    study that another search holds is left alone.
    """
    lines = []
    for name in study_names(study.storage, study.plan.name):
        if name == study.name:
            continue
        try:
            with StudyLock(study.storage, name):
                if _close(load_study(study.plan, study.storage, name)):
                    lines.append(f"{name}: it was interrupted; its run is closed")
        except StudyLocked:
            continue
    return lines


def _close(study: Study) -> bool:
    """Queue the study's running trials and pause its open runs; returns whether it had any."""
    found = False
    known = optuna.get_all_study_names(open_storage(study.storage))
    has_confirmations = f"{study.name}.confirm" in known
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


def _mend(trials: Trials, trial: FrozenTrial) -> Iterator[str]:
    number = trial.number
    name = trials.folder(number).name
    if trial.state == TrialState.RUNNING:
        trials.wait_for_worker(number, WORKER_SECONDS)
        journal = trials.journal(number)
        trials.pause(number)
        if journal.ended:
            yield f"{name} had ended; Optuna is told"
        else:
            yield f"{name} was interrupted after {journal.last_step} epochs; it waits to go on"
        return
    journal = trials.journal(number)
    if not journal.interrupted:
        return
    if trial.state == TrialState.WAITING:
        trials.wait_for_worker(number, WORKER_SECONDS)
        journal.pause()
        yield f"{name} waits to go on; its run is paused"
    else:
        reason = trial.user_attrs.get("reason", "")
        write_end(journal, trial.state.name, reason=reason, values=trial.values)
        yield f"{name} is finished; its run is ended"
