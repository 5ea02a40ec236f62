"""The summary that a search prints at its end."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.mlruns import MLRUNS, MODEL_FILE
from mnist_cnn.objectives import ACCURACY, keeps_constraints
from mnist_cnn.report import confirmation_table, front
from mnist_cnn.report.description import (
    NO_MODEL,
    configuration,
    has_no_model,
    problem_of_promotion,
)
from mnist_cnn.report.study_run import REPORT_FILE
from mnist_cnn.report.tally import origin, tally
from mnist_cnn.report.text import fresh_seeds, from_here, in_columns, number, short_value
from mnist_cnn.study.candidates import Candidate, candidates
from mnist_cnn.study.scheduling import seconds_in_full
from mnist_cnn.study.screening import STOPPED
from mnist_cnn.study.study import Study
from mnist_cnn.study.trials import ENDED
from mnist_cnn.tracking.client import tracking_uri
from mnist_cnn.tracking.sync import Deliverer
from mnist_cnn.tracking.views import listed
from mnist_cnn.urls import hide_passwords

LINE_WIDTH = 90  # characters, of sentences
ANY_WIDTH = 1000  # of lines in a file


def summary(study: Study, deliverer: Deliverer, width: int = ANY_WIDTH) -> list[str]:
    """Return the lines that end a search: the winner, where to look, what to type next.

    Args:
        study: The study, which has a winner.
        deliverer: Of its runs.
        width: The characters in a line of the terminal. Commands and addresses may be longer.
    """
    ranked = candidates(study)
    winner, metric = ranked[0], study.objective.metric
    score = f"{metric} {number(winner.first)}"
    if winner.scores:
        score += f", confirmed {number(winner.score)} on {fresh_seeds(len(winner.scores))}"
    if (accuracy := confirmation_table.accuracy_beside(study, winner)) is not None:
        score += f", {ACCURACY} {number(accuracy)}"
    lines = ["", *textwrap.wrap(tally(study), width), *_confirmations(study, ranked, width)]
    if points := front.rows(study, ranked):
        lines += ["the front", *in_columns((front.columns(study), *points), width), ""]
    where = f"trial {winner.trial.number}, {origin(study, winner.trial)}"
    best = f"best of {study.name}: {where}, {score}"
    lines += textwrap.wrap(best, width)
    lines += _aligned(configuration(study, winner))
    model = f"none: {NO_MODEL}" if has_no_model(winner) else from_here(study.folder / MODEL_FILE)
    lines.append(f"model  {model}")
    lines.append(f"report {from_here(study.folder / REPORT_FILE)}")
    if deliverer.problem:
        lines.append(
            f"MLflow did not get everything ({deliverer.problem}); the runs are kept in "
            f"{from_here(study.folder)}; `mnist-cnn sync` delivers them"
        )
    else:
        lines += _where_to_look(deliverer.views)
    if not problem_of_promotion(study, winner):
        promote = f"make promote {study.plan.id.for_make}"
        lines.append(f"next   {front.how_to_promote(study) or promote}")
    return lines


def _where_to_look(views: Mapping[str, str]) -> list[str]:
    """Return the addresses of a study's views, of the MLflow server or of that of `make ui`."""
    uri = tracking_uri(MLRUNS)
    if uri.startswith("http"):
        return ["look   at the first of", *listed(views, hide_passwords(uri).rstrip("/"))]
    return ["look   make ui, which opens the first of", *listed(views, "http://127.0.0.1:5000")]


def _confirmations(study: Study, ranked: Sequence[Candidate], width: int) -> list[str]:
    """Return the confirmations as a table for the terminal, and in words."""
    sentences = textwrap.wrap(confirmation_table.summary(study, ranked), min(width, LINE_WIDTH))
    rows = confirmation_table.rows(study, ranked)
    if not rows:
        return sentences
    table = in_columns((confirmation_table.columns(study), *rows), width)
    return [f"confirmed on fresh seeds, by {study.objective.metric}", *table, *sentences, ""]


def _aligned(values: dict[str, Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"  {name:{width}}  {short_value(value)}" for name, value in values.items()]


def nothing_completed(study: Study) -> str:
    """Return the message for a study without a complete trial that satisfies the constraints."""
    trials = study.trials.without_repeats(*ENDED)
    broken = [trial for trial in trials if not keeps_constraints(trial)]
    stopped = {t.number for t in trials if STOPPED in t.user_attrs and keeps_constraints(t)}
    can_continue = stopped or study.trials.all(TrialState.WAITING)
    complete = study.trials.all(TrialState.COMPLETE)
    if broken and (complete or not can_continue):
        return _nearest_to_constraints(study, broken)
    ended = _why_they_ended(study, [trial for trial in trials if trial.number not in stopped])
    if not can_continue and ended:
        return f"{study.name}: no trial completed, {ended}"
    needed = seconds_in_full(study, trials)
    about = f" (training one in full takes about {needed:.0f} s)" if needed else ""
    return (
        f"{study.name}: no trial was complete in time{about}; the same command continues the "
        "study; for more time add TIMEOUT=SECONDS to make, or --timeout SECONDS to mnist-cnn"
        f"{'; ' if ended else ''}{ended}"
    )


def _why_they_ended(study: Study, trials: Sequence[FrozenTrial]) -> str:
    """Count trials that failed or were pruned, and give the reason of the first; "" for none."""
    if not trials:
        return ""
    failed = sum(trial.state == TrialState.FAIL for trial in trials)
    counts = {"failed": failed, "pruned": len(trials) - failed}
    counted_states = " and ".join(f"{count} {state}" for state, count in counts.items() if count)
    reason = trials[0].user_attrs.get("reason", "unknown")
    page = study.folder / REPORT_FILE
    more = f"; all reasons: {from_here(page)}" if page.exists() else ""
    return f"{counted_states}; trial {trials[0].number}: {reason}{more}"


def _nearest_to_constraints(study: Study, broken: Sequence[FrozenTrial]) -> str:
    """Return the message for a study whose trials violate the constraints, such as `broken`."""

    def excess(trial: FrozenTrial) -> float:
        return sum(max(0.0, violation) for violation in trial.constraints.values())

    nearest = min(broken, key=excess)
    return (
        f"{study.name}: no complete trial satisfies the constraints; the nearest, trial "
        f"{nearest.number}, has {nearest.user_attrs.get('reason', '')}; relax the constraint, "
        "widen the ranges of the search space, or search for longer"
    )
