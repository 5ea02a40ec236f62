"""Opens the study that a search continues: the experiment's newest, a named one, or a new one."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from mnist_cnn.errors import UsageError, UserError, unknown
from mnist_cnn.experiment_id import search_command
from mnist_cnn.files import make_folder, replace_file
from mnist_cnn.mlruns import STUDY_ID_FILE, checkpoints
from mnist_cnn.project.plan import Plan
from mnist_cnn.study.lock import StudyLock
from mnist_cnn.study.storage import open_storage, storage_option
from mnist_cnn.study.study import MODELS_KEPT, PRECISION, Study, make_study
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.urls import hide_passwords

CHANGED = "the space, the experiment, its data or mnist-cnn changed since"


@dataclass(frozen=True)
class Opened:
    """A study whose lock this process holds.

    Attributes:
        study: The study.
        lock: Its lock.
        lines: Messages about which study it is and why.
    """

    study: Study
    lock: StudyLock
    lines: tuple[str, ...]


@contextmanager
def open_study(plan: Plan, storage: str, wanted: str | None = None) -> Iterator[Opened]:
    """Choose a study, or create one, and hold its lock.

    Args:
        plan: The plan of the experiment.
        storage: The URL of Optuna's storage.
        wanted: The name of a study. None chooses the experiment's newest study if it is unfinished
            and its fingerprint is unchanged. Otherwise a new study is created.

    Raises:
        UsageError: There is no study `wanted`.
        StudyLocked: Another search holds the lock of the study.
        UserError: The study `wanted` has another fingerprint, or the files in its folder belong to
            another study.
    """
    name, *lines = _choose(plan, storage, wanted)
    with StudyLock(storage, name) as lock:
        study = load_study(plan, storage, name)
        set_fingerprint(study)
        _pin_precision(study)
        if not matches(study):
            command = search_command(plan.id, {"storage": storage_option(storage)})
            raise UserError(f"{CHANGED} {name!r}; `{command}`, without its name, opens a new study")
        _refuse_foreign_files(study)
        yield Opened(study, lock, tuple(lines))


def study_names(storage: str, experiment_name: str) -> list[str]:
    """Return the names of the experiment's studies, oldest first, without confirmations."""
    pattern = re.compile(re.escape(experiment_name) + r"-(\d+)")
    names = optuna.get_all_study_names(open_storage(storage))
    found = [match for name in names if (match := pattern.fullmatch(name))]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]


def load_study(plan: Plan, storage: str, name: str) -> Study:
    """Return the existing study called `name`."""
    optuna_study = optuna.load_study(
        study_name=name, storage=open_storage(storage), sampler=RandomSampler()
    )
    return make_study(plan, storage, optuna_study, checkpoints() / name)


def set_fingerprint(study: Study) -> None:
    """Set the fingerprint of a study without trials and without a fingerprint.

    Such a study is new, or its creation was interrupted.
    """
    if "fingerprint" in study.attributes or study.trials.all():
        return
    metrics = [objective.metric for objective in study.plan.objectives]
    study.set_attributes(id=uuid.uuid4().hex, metrics=metrics, fingerprint=study.plan.fingerprint)


def _pin_precision(study: Study) -> None:
    """Set the precision of all runs of a study without trials: other machines may differ."""
    if PRECISION not in study.attributes and not study.trials.all():
        study.set_attributes(**{PRECISION: study.plan.precision})


def matches(study: Study) -> bool:
    """Return whether the study's trials are comparable with new trials of its plan."""
    return study.attributes.get("fingerprint") == study.plan.fingerprint


def _choose(plan: Plan, storage: str, wanted: str | None) -> list[str]:
    """Return the name of a study, followed by messages that say why it was chosen."""
    names = study_names(storage, plan.name)
    if wanted is not None:
        if wanted not in names:
            valid = ", ".join(names) or "none yet"
            raise UsageError(f"{plan.name} has no study {unknown(wanted, names)}; valid: {valid}")
        return [wanted, f"continuing {wanted}"]
    changed = []
    if names:
        newest = load_study(plan, storage, names[-1])
        is_new = "fingerprint" not in newest.attributes and not newest.trials.all()
        if not is_new and not matches(newest):
            changed = [f"{CHANGED} {newest.name}"]
        elif not newest.attributes.get("finished"):
            return [newest.name, f"continuing {newest.name}"]
    # Folders count too: if Optuna's database was deleted, their journals belong to other trials.
    taken = {*names, *(path.name for path in checkpoints().glob(f"{plan.name}-*/"))}
    numbers = [int(name) for n in taken if (name := n.removeprefix(f"{plan.name}-")).isdigit()]
    created = optuna.create_study(
        storage=open_storage(storage),
        study_name=f"{plan.name}-{max(numbers, default=0) + 1}",
        directions=[objective.direction for objective in plan.objectives],
        load_if_exists=True,  # another search may create it at the same moment; one gets the lock
    )
    return [created.study_name, *changed, f"new study {created.study_name}"]


def _refuse_foreign_files(study: Study) -> None:
    """Refuse a folder of another study, or one older or newer than the study in the storage.

    Raises:
        UserError: The folder and the study in the storage do not belong together.
    """
    for trial in study.ranking()[:MODELS_KEPT]:
        if not study.trials.folder(trial.number).exists():
            raise UserError(
                f"trial {trial.number} of {study.name} is complete in {_place(study)}, but its "
                f"files are not in {study.folder}; continue in the project that searched it, or "
                "copy that folder from there"
            )
    ours = str(study.attributes.get("id", "none"))
    file = study.folder / STUDY_ID_FILE
    make_folder(study.folder)
    runs = sorted(f for f in study.folder.glob("trial-*") if f.name[6:].isdigit())
    if not file.exists() and not runs and not Journal(study.folder).started:
        replace_file(file, lambda path: path.write_text(ours))  # it is new, or was cut short
    found = file.read_text() if file.exists() else "none"
    if found != ours:
        raise _foreign(study, f"the id is {ours} in the database and {found} in the folder")
    trials = study.trials.all()
    for folder in runs:
        number = int(folder.name.removeprefix("trial-"))
        known = trials[number].params if number < len(trials) else {}
        for name, value in _sampled(folder).items():
            if known.get(name) != value:
                there = f"{name}={known[name]!r}" if name in known else f"no {name}"
                raise _foreign(
                    study,
                    f"trial {number} has {there} in the database and {name}={value!r} in the "
                    "folder",
                )


def _sampled(folder: Path) -> dict[str, Any]:
    """Return the parameters that Optuna had sampled when the run's model was built."""
    found: dict[str, Any] = {}
    for event in read(folder)[0]:
        if event["event"] == "start":
            found = event.get("sampled", {})
    return found


def _foreign(study: Study, difference: str) -> UserError:
    return UserError(
        f"the files in {study.folder} do not belong to the study {study.name} in {_place(study)}: "
        f"{difference}; restore the database that they belong to, or move the folder away"
    )


def _place(study: Study) -> str:
    return hide_passwords(study.storage)
