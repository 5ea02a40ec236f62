"""The plots in a study's report, and their captions."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts import style
from mnist_cnn.charts.style import MAX_PARAMETERS, SCORED, has_value
from mnist_cnn.files import replace_file
from mnist_cnn.report import history, trial_plots
from mnist_cnn.report.history import RunHistory
from mnist_cnn.report.parallel_coordinates import parallel_coordinates
from mnist_cnn.report.parameter_axis import parameter_axis
from mnist_cnn.report.slices import slices
from mnist_cnn.report.study_plots import confirmations, hypervolume_history, pareto_front
from mnist_cnn.report.timeline import timeline
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.study import Study
from mnist_cnn.study.trials import ENDED

STEADY_TRIALS = 5  # PED-ANOVA's result is stable with this many among the best


@dataclass(frozen=True)
class Plot:
    """A plot of the report.

    Attributes:
        title: Its heading.
        path: Its file.
        caption: Its content, and what to conclude from it.
        problem: Why it could not be drawn; "" if it was.
    """

    title: str
    path: Path
    caption: str
    problem: str = ""


# A plot to draw: its title, its caption, and the function that draws it.
_Draft = tuple[str, str, Callable[[], Figure]]


def draw_plots(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> list[Plot]:
    """Draw the plots for which the study has enough trials into its folder.

    Args:
        study: The study.
        ranked: The candidates, the winner first.
        histories: Of the study's runs.

    Returns:
        The plots in the order of the report, those that could not be drawn included.
    """
    drawn = []
    for title, caption, draw in _drafts(study, ranked, histories):
        path, problem = study.folder / f"{title.lower().replace(' ', '_')}.png", ""
        try:
            replace_file(path, partial(style.save, draw()))
        except Exception as error:
            # A failed plot must not cost the search: the winner is published without it.
            problem = f"{type(error).__name__}: {error}"
        drawn.append(Plot(title, path, caption, problem))
    return drawn


def important_parameters(study: Study) -> dict[str, float]:
    """Return how much each hyperparameter distinguishes the best trials from the others.

    Returns:
        The shares, which sum to 1, the greatest first; empty if there are too few trials or they
        are too similar to tell.
    """
    complete = [trial for trial in study.trials.all(TrialState.COMPLETE) if has_value(trial)]
    if len(complete) < 3 or not any(trial.params for trial in complete):
        return {}
    best = min(0.5, max(0.1, STEADY_TRIALS / len(complete)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # conditional hyperparameters have few trials
        shares = optuna.importance.get_param_importances(
            study.trials.optuna_study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=best),
            normalize=False,
        )
    total = sum(shares.values())
    if not (math.isfinite(total) and total > 0):
        return {}
    ordered = sorted(shares, key=lambda name: (-shares[name], name))
    return {name: shares[name] / total for name in ordered}


def _drafts(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> Iterator[_Draft]:
    trials = study.trials.without_repeats(*ENDED)
    objective = study.objective
    if not trials:
        return
    yield (
        "Optimisation history",
        "Each trial in the order of finishing. If the best value so far has been level for a long "
        "time, more trials of the same kind will hardly help.",
        lambda: trial_plots.optimisation_history(trials, objective),
    )
    if any(candidate.scores for candidate in ranked):
        epochs = (study.plan.epochs, study.plan.confirm.epochs or study.plan.epochs)
        also = ", and by the effect of a different number of epochs" if len({*epochs}) > 1 else ""
        yield (
            "Confirmation",
            "The trials were selected by their first scores, so these are partly luck; the scores "
            f"on fresh seeds are not. The mean differs from the first score by that luck{also}.",
            lambda: confirmations(ranked, objective, epochs),
        )
    count = len(study.plan.objectives)
    if count > 1 and study.trials.all(TrialState.COMPLETE):
        shown = ""
        if count > 2:
            shown = " Only the first two objectives are drawn: a point may be there for another."
        yield (
            "Pareto front",
            "A trial is on the front if no other one is as good in every objective and better in "
            f"one.{shown}",
            lambda: pareto_front(trials, study.plan.objectives, ranked),
        )
        yield (
            "Hypervolume",
            "How much of the box from the best value of each objective to just beyond the worst "
            "the front dominates. If it has been level for a long time, more trials will hardly "
            "help.",
            lambda: hypervolume_history(trials, study.plan.objectives),
        )
    yield from _drafts_of_parameters(study, trials, histories)
    runs = history.of_trials(histories)
    curves = [_with_curve(trial, runs, objective.metric) for trial in trials]
    yield (
        "Learning curves",
        "Each trial's objective by epoch. If curves still improve at their end, train for more "
        "epochs. If stopped ones improved like the best, use a more patient pruner.",
        lambda: trial_plots.learning_curves(curves, objective),
    )
    if histories:
        yield (
            "Timeline",
            "When each run was trained, with the number of its trial. In a gap, a worker had "
            "nothing to train.",
            lambda: timeline(histories),
        )


def _drafts_of_parameters(
    study: Study, trials: Sequence[FrozenTrial], histories: Sequence[RunHistory]
) -> Iterator[_Draft]:
    shares = important_parameters(study)
    if shares:
        yield (
            "Importances",
            "What distinguishes the best trials from the others. With few trials, it is a rough "
            "estimate.",
            lambda: trial_plots.importances(shares),
        )
    scored = [trial for trial in trials if trial.state in SCORED and has_value(trial)]
    names = list(dict.fromkeys([*shares, *(name for trial in scored for name in trial.params)]))
    shown = names[:MAX_PARAMETERS]
    if not shown:
        return
    seen = {number: run.values for number, run in history.of_trials(histories).items()}
    axes = [parameter_axis(name, scored, seen) for name in shown]
    which = ""
    if len(names) > len(shown):
        kind = "most important" if shares else "first"
        which = f" The {len(shown)} {kind} of {len(names)} hyperparameters are shown."
    if len(shown) > 1:
        yield (
            "Parallel coordinates",
            "Each complete trial as a line through its hyperparameters, broken where it does not "
            f"have one. Stopped trials are grey.{which}",
            lambda: parallel_coordinates(scored, study.objective, axes),
        )
    yield (
        "Slices",
        "Each trial's value by one hyperparameter at a time; of a stopped trial, the value at "
        f"which it was stopped.{which} If the best trials lie at the end of a range, widen it.",
        lambda: slices(scored, study.objective, axes),
    )


def _with_curve(
    trial: FrozenTrial, histories: Mapping[int, RunHistory], metric: str
) -> FrozenTrial:
    """Return the trial with the values of its epochs.

    Optuna accepts no reports from a trial with several objectives; its journal has them.
    """
    if trial.intermediate_values or trial.number not in histories:
        return trial
    epochs = histories[trial.number].epochs
    reported = copy.copy(trial)
    reported.intermediate_values = {n: m[metric] for n, m in epochs.items() if metric in m}
    return reported
