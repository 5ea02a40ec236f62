"""What a killed search left behind is put right at the next start: Optuna, journals, files.

Trials and runs that nobody works on any more are queued and paused, ends that were written and not
told are told, files that nobody needs are removed. MLflow follows the journals. Done twice, the
second time finds nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.mlruns import CHECKPOINT_FILE
from mnist_cnn.study.lock import claimed_by_another
from mnist_cnn.study.opening import load_study, study_names
from mnist_cnn.study.outcome import write_end
from mnist_cnn.study.study import Study
from mnist_cnn.tracking.journal import Journal


def reconcile(study: Study) -> list[str]:
    """Make Optuna, the journals and the files of a study agree; a line for each thing mended.

    Nobody may be searching it.
    """
    lines = [line for trial in study.trials() for line in _mend_trial(study, trial)]
    for number in study.remove_obsolete_files(trial.number for trial in study.finished()):
        lines.append(f"trial {number} is finished; files that it needs no longer are removed")
    for folder in sorted(study.folder.glob("confirmation-*")):
        lines += _mend_confirmation(folder)
    return lines


def reconcile_others(study: Study) -> list[str]:
    """Do the same for the experiment's other studies, which nobody goes on with by himself."""
    lines = []
    for name in study_names(study.storage, study.plan.name):
        if name != study.name:
            other = load_study(study.plan, study.storage, name)
            if not claimed_by_another(other):
                lines += [f"{name}: {line}" for line in reconcile(other)]
                journal = Journal(other.folder)
                if _is_open(journal):
                    journal.pause()
                    lines.append(f"{name}: it was interrupted; its run is closed")
    return lines


def _mend_trial(study: Study, trial: FrozenTrial) -> Iterator[str]:
    number = trial.number
    journal = Journal(study.trial_folder(number))
    if trial.state == TrialState.RUNNING:
        study.pause(number)
        epochs = len(trial.intermediate_values)
        if journal.ended:
            yield f"trial {number} had ended; Optuna is told"
        else:
            yield f"trial {number} was interrupted after {epochs} epochs; it waits to go on"
    elif trial.state == TrialState.WAITING and _is_open(journal):
        study.pause(number)
        yield f"trial {number} waits to go on; its run is paused"
    elif trial.state.is_finished() and journal.last is not None and not journal.ended:
        write_end(
            journal,
            trial.state.name,
            reason=trial.user_attrs.get("reason", ""),
            values=trial.values,
        )
        yield f"trial {number} is finished; its run is ended"


def _mend_confirmation(folder: Path) -> Iterator[str]:
    journal = Journal(folder)
    if _is_open(journal):
        journal.pause()
        yield f"{folder.name} was interrupted after {journal.last_step} epochs; it is paused"
    checkpoint = folder / CHECKPOINT_FILE
    if journal.ended and checkpoint.exists():
        checkpoint.unlink()
        yield f"{folder.name} is finished; its checkpoint is removed"


def _is_open(journal: Journal) -> bool:
    """Whether the run began and was neither paused nor ended."""
    return journal.last is not None and journal.last["event"] not in ("pause", "end")
