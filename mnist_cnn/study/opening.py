"""Which study a search goes on with: the experiment's newest, a named one, or a new one."""

import re

import optuna

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.mlruns import checkpoints
from mnist_cnn.plan import Plan
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import Study

CHANGED = "the space, the experiment, its data or mnist-cnn changed since"


def study_names(storage: str, experiment_name: str) -> list[str]:
    """Return the names of the experiment's studies, oldest first."""
    pattern = re.compile(re.escape(experiment_name) + r"-(\d+)")
    names = optuna.get_all_study_names(open_storage(storage))
    found = [match for name in names if (match := pattern.fullmatch(name))]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]


def open_study(plan: Plan, storage: str, wanted: str | None) -> tuple[Study, list[str]]:
    """Return the study to go on with, or a new one, and the lines that say which and why.

    Args:
        plan: Of the experiment.
        storage: The URL of Optuna's storage.
        wanted: A study's name. Without one it is the experiment's newest if that is unfinished
            and its fingerprint is unchanged, and else a new one.

    Raises:
        UsageError: There is no study `wanted`.
        UserError: The study `wanted` has another fingerprint.
    """
    names = study_names(storage, plan.name)
    if wanted is not None:
        return _named(plan, storage, wanted, names), [f"going on with {wanted}"]
    lines = []
    if names:
        study = load_study(plan, storage, names[-1])
        adopt(study)
        if not matches(study):
            lines.append(f"{CHANGED} {names[-1]}")
        elif not study.optuna_study.user_attrs.get("finished"):
            return study, [f"going on with {study.name}"]
    study = _new(plan, storage, names)
    return study, [*lines, f"new study {study.name}"]


def load_study(plan: Plan, storage: str, name: str) -> Study:
    """Return the study called `name`, with a folder for its runs."""
    optuna_study = optuna.load_study(
        study_name=name, storage=open_storage(storage), sampler=optuna.samplers.RandomSampler()
    )
    folder = checkpoints() / name
    folder.mkdir(parents=True, exist_ok=True)
    return Study(plan, storage, optuna_study, folder)


def adopt(study: Study) -> None:
    """Make a study that has neither trials nor a fingerprint one of its plan."""
    if "fingerprint" in study.optuna_study.user_attrs or study.trials():
        return
    metrics = [objective.metric for objective in study.plan.objectives]
    study.optuna_study.set_user_attr("metrics", metrics)
    study.optuna_study.set_user_attr("fingerprint", study.plan.fingerprint)


def matches(study: Study) -> bool:
    """Return whether the study's trials can be compared with new ones of its plan."""
    return bool(study.optuna_study.user_attrs.get("fingerprint") == study.plan.fingerprint)


def _named(plan: Plan, storage: str, wanted: str, names: list[str]) -> Study:
    if wanted not in names:
        raise UsageError(f"there is no study {wanted!r}; valid: {', '.join(names) or 'none yet'}")
    study = load_study(plan, storage, wanted)
    adopt(study)
    if not matches(study):
        raise UserError(
            f"{CHANGED} {wanted!r}; `make search EXPERIMENT={plan.name}` without STUDY= opens a "
            "new study"
        )
    return study


def _new(plan: Plan, storage: str, names: list[str]) -> Study:
    # Folders count too: where Optuna's database was deleted, their journals are of other trials.
    taken = {*names, *(path.name for path in checkpoints().glob(f"{plan.name}-*/"))}
    numbers = [int(name) for n in taken if (name := n.removeprefix(f"{plan.name}-")).isdigit()]
    created = optuna.create_study(
        storage=open_storage(storage),
        study_name=f"{plan.name}-{max(numbers, default=0) + 1}",
        directions=[objective.direction for objective in plan.objectives],
        load_if_exists=True,  # another search may make it in this moment; one of both will have it
    )
    study = load_study(plan, storage, created.study_name)
    adopt(study)
    return study
