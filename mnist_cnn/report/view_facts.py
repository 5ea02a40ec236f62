"""The facts of a study that its views in the MLflow UI need, see `tracking.views`."""

from collections.abc import Collection, Sequence
from typing import Any

from optuna.trial import TrialState

from mnist_cnn.objectives import ACCURACY, COST_METRICS
from mnist_cnn.report.history import RunHistory, of_trials
from mnist_cnn.report.plots import important_parameters
from mnist_cnn.report.tally import baselines
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.chains import first_of
from mnist_cnn.study.study import Study

SHOWN_COSTS = ("train_seconds", "parameters")


def view_facts(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> dict[str, Any]:
    """Return the fields of the event `views`, without `note`.

    Args:
        study: The study.
        ranked: The candidates, the winner first; empty if there is no winner.
        histories: Of the study's runs.

    Returns:
        `curve` and `score`: the metric of the first objective in an epoch and in a whole run.
        `maximize`: whether more of it is better. `costs`: further metrics. `parameters`: the names
        in MLflow of the hyperparameters that vary, the most important first. `shared`: those of
        them that all complete trials have. `winner` and `baseline`: the folders of two trials, or
        None.
    """
    first, *others = study.objectives
    more = [o.metric if o.metric in COST_METRICS else f"best_{o.metric}" for o in others]
    more += [f"best_{ACCURACY}"] if first.metric != ACCURACY else []
    runs = of_trials(histories)
    complete = [runs[t.number] for t in study.trials.all(TrialState.COMPLETE) if t.number in runs]
    parameters = _varied(study, runs.values())
    shared = [n for n in parameters if complete and all(n in run.values for run in complete)]
    winner, baseline = _pair(study, ranked)
    return {
        "curve": first.metric,
        "score": f"best_{first.metric}",
        "maximize": first.direction == "maximize",
        "costs": list(dict.fromkeys([*more, *SHOWN_COSTS])),
        "parameters": [_logged(name, runs.values()) for name in parameters],
        "shared": [_logged(name, runs.values()) for name in shared],
        "winner": winner,
        "baseline": baseline,
    }


def _varied(study: Study, runs: Collection[RunHistory]) -> list[str]:
    """Return the hyperparameters that differ between trials, the most important first."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.values.items():
            values.setdefault(name, set()).add(str(value))
    # In Optuna, conditions follow the name in brackets.
    important = [n if n in values else n.partition("[")[0] for n in important_parameters(study)]
    return [n for n in dict.fromkeys([*important, *values]) if len(values.get(n, ())) > 1]


def _logged(name: str, runs: Collection[RunHistory]) -> str:
    """Return the name of a hyperparameter in MLflow, where `seed` is that of the run itself."""
    other = f"hp.{name}"
    return other if any(other in run.params for run in runs) else name


def _pair(study: Study, ranked: Sequence[Candidate]) -> tuple[str | None, str | None]:
    """Return the folders of the winner and of the best baseline, unless these are the same."""
    finished = [*study.ranking(), *reversed(study.trials.finished())]
    known = baselines(study)
    believed = [trial for trial in finished if first_of(trial) in known]
    if not ranked or not believed or first_of(ranked[0].trial) in known:
        return None, None
    winner, baseline = (study.trials.folder_of(t).name for t in (ranked[0].trial, believed[0]))
    return winner, baseline
