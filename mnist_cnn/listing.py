"""A study's trials as a table in the terminal."""

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.storage import default_storage, open_storage
from mnist_cnn.study import study_names

SHOWN = 20


def show_trials(experiment: str, name: str | None, storage: str | None) -> None:
    """Print the best trials of a study, by default the experiment's newest.

    Raises UsageError for an unknown study, UserError if there is none.
    """
    storage = storage or default_storage()
    names = study_names(storage, experiment)
    if not names:
        raise UserError(
            f"no study of {experiment!r} yet; type `make search EXPERIMENT={experiment}`"
        )
    if name is not None and name not in names:
        raise UsageError(f"there is no study {name!r}; valid: {', '.join(names)}")
    study = optuna.load_study(study_name=name or names[-1], storage=open_storage(storage))
    trials = ranked(study)
    metric = study.user_attrs["metrics"][0]
    table = Table(title=f"{study.study_name}: the best {min(SHOWN, len(trials))} of {len(trials)}")
    for column in ("trial", "state", "epochs", metric, "configuration"):
        table.add_column(column, justify="left" if column == "configuration" else "right")
    for trial in trials[:SHOWN]:
        table.add_row(
            str(trial.number),
            trial.state.name.lower(),
            str(len(trial.intermediate_values)),
            f"{trial.values[0]:.4f}" if trial.values else "",
            configuration(trial),
        )
    Console().print(table)


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """The trials, complete ones first and best first, then pruned, failed and others."""
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    order += [TrialState.RUNNING, TrialState.WAITING]
    return sorted(
        study.get_trials(deepcopy=False),
        key=lambda t: (order.index(t.state), sign * t.values[0] if t.values else 0, t.number),
    )


def configuration(trial: FrozenTrial) -> str:
    """The trial's parameters in one line."""
    return ", ".join(
        f"{name}={f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in trial.params.items()
    )
