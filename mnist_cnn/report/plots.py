"""Which pictures the report of a study has, and how each is read."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import JUDGED, SHOWN_PARAMETERS, has_value
from mnist_cnn.report import history, trial_plots
from mnist_cnn.report.history import RunHistory
from mnist_cnn.report.parallel_coordinates import parallel_coordinates, slices
from mnist_cnn.report.parameter_axis import parameter_axis
from mnist_cnn.report.study_plots import confirmations, pareto_front
from mnist_cnn.report.timeline import timeline
from mnist_cnn.study.confirmation import Candidate
from mnist_cnn.study.study import Study

STEADY_TRIALS = 5  # among the best: as many as PED-ANOVA wants for a steady answer


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    text: what is seen on it. problem: why it could not be drawn, "" if it was.
    """

    title: str
    path: Path
    text: str
    problem: str = ""


def draw_pictures(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> list[Picture]:
    """Draw into the study's folder what the study has trials enough for, in the report's order."""
    drawn = []
    for title, text, draw in _pictures(study, ranked, histories):
        path, problem = study.folder / f"{title.lower().replace(' ', '_')}.png", ""
        try:
            style.save(draw(), path)
        except Exception as error:
            # No picture is worth the search that it shows: the winner is published without it.
            problem = f"{type(error).__name__}: {error}"
        drawn.append(Picture(title, path, text, problem))
    return drawn


def important_parameters(study: Study) -> dict[str, float]:
    """Each hyperparameter's share in what the best trials have in common, the greatest first.

    Empty if the trials are too few or too alike to tell.
    """
    complete = [trial for trial in study.trials(TrialState.COMPLETE) if has_value(trial)]
    if len(complete) < 3 or not any(trial.params for trial in complete):
        return {}
    best = min(0.5, max(0.1, STEADY_TRIALS / len(complete)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that conditional parameters have few trials
        shares = optuna.importance.get_param_importances(
            study.optuna_study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=best),
            normalize=False,
        )
    total = sum(shares.values())
    if not (math.isfinite(total) and total > 0):
        return {}
    return {name: share / total for name, share in sorted(shares.items(), key=_greatest)}


def _greatest(share: tuple[str, float]) -> tuple[float, str]:
    return -share[1], share[0]


def _pictures(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    trials, objective = study.finished(), study.objective
    yield (
        "Optimisation history",
        "Each trial when it finished. Where the best so far has long been level, more trials of "
        "the same kind will hardly help.",
        lambda: trial_plots.optimisation_history(trials, objective),
    )
    if any(candidate.scores for candidate in ranked):
        epochs = (study.plan.epochs, study.plan.confirm.epochs or study.plan.epochs)
        yield (
            "Confirmation",
            "The first score took part in the choice and so is partly luck; the scores on fresh "
            "seeds did not. How far the mean lies from the first score is what the choice had "
            "flattered, and what a different number of epochs makes.",
            lambda: confirmations(ranked, objective, epochs),
        )
    if len(study.plan.objectives) > 1 and study.trials(TrialState.COMPLETE):
        yield (
            "Pareto front",
            "No trial is better than one of the front in one objective and as good in the other.",
            lambda: pareto_front(trials, study.plan.objectives),
        )
    yield from _of_parameters(study, trials, histories)
    runs = history.of_trials(histories)
    curves = [_with_curve(trial, runs, objective.metric) for trial in trials]
    yield (
        "Learning curves",
        "Each trial's objective by epoch. Curves that still rise at their end ask for more epochs; "
        "pruned ones that were rising like the best ask for a more patient pruner.",
        lambda: trial_plots.learning_curves(curves, objective),
    )
    if histories:
        yield (
            "Time line",
            "When each run was trained, with the number of its trial. A gap is time in which a "
            "worker had nothing to train.",
            lambda: timeline(histories),
        )


def _of_parameters(
    study: Study, trials: Sequence[FrozenTrial], histories: Sequence[RunHistory]
) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    shares = important_parameters(study)
    if shares:
        yield (
            "Importances",
            "What tells the best trials from the others. From few trials it is a rough guess.",
            lambda: trial_plots.importances(shares),
        )
    judged = [trial for trial in trials if trial.state in JUDGED and has_value(trial)]
    names = list(dict.fromkeys([*shares, *(name for trial in judged for name in trial.params)]))
    shown = names[:SHOWN_PARAMETERS]
    if not shown:
        return
    seen = {run.trial: run.values for run in histories if run.kind == "trial"}
    axes = [parameter_axis(name, judged, seen) for name in shown]
    which = f"The {len(shown)} most important" if shares else f"The first {len(shown)}"
    some = f" {which} of {len(names)}." if len(names) > len(shown) else ""
    if len(shown) > 1:
        yield (
            "Parallel coordinates",
            "Each complete trial as a line through its hyperparameters, interrupted where it does "
            f"not have one; pruned trials are grey.{some}",
            lambda: parallel_coordinates(judged, study.objective, axes),
        )
    yield (
        "Slices",
        "Each trial's value by one hyperparameter at a time; pruned trials with the value at which "
        f"they were stopped.{some} The best ones at the end of a range ask for a wider range.",
        lambda: slices(judged, study.objective, axes),
    )


def _with_curve(
    trial: FrozenTrial, histories: Mapping[int, RunHistory], metric: str
) -> FrozenTrial:
    """The trial, with the values of its epochs from the journal if Optuna was not told.

    Optuna takes no reports of a trial with several objectives.
    """
    if trial.intermediate_values or trial.number not in histories:
        return trial
    epochs = histories[trial.number].epochs
    told = copy.copy(trial)
    told.intermediate_values = {n: m[metric] for n, m in epochs.items() if metric in m}
    return told
