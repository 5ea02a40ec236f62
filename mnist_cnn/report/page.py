"""A study's report as one HTML page, which loads nothing else."""

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts.style import MAX_PARAMETERS
from mnist_cnn.experiment_id import command
from mnist_cnn.objectives import ACCURACY
from mnist_cnn.report import confirmation_table, front
from mnist_cnn.report.description import problem_of_promotion
from mnist_cnn.report.history import RunHistory, of_trials
from mnist_cnn.report.page_template import PAGE, STYLE
from mnist_cnn.report.plots import Plot
from mnist_cnn.report.text import (
    STATE_WORDS,
    counted,
    difference,
    duration,
    fresh_seeds,
    local_time,
    number,
    short_value,
)
from mnist_cnn.study.candidates import Candidate
from mnist_cnn.study.storage import storage_option
from mnist_cnn.study.study import Study, is_finite
from mnist_cnn.study.trials import ENDED

SHOWN_TRIALS = 20
SHOWN_NUMBERS = 12  # of trials that failed for the same reason
SHOWN_COLUMNS = 2 * MAX_PARAMETERS  # hyperparameters in the table of the best trials
SHORT_CELL = 40  # characters; a shorter cell is not broken into lines


def report_page(
    study: Study,
    ranked: Sequence[Candidate],
    histories: Sequence[RunHistory],
    plots: Sequence[Plot],
    winner_values: Mapping[str, Any],
    winner_run: str | None,
) -> str:
    """Return the page as HTML.

    Args:
        study: The study.
        ranked: The candidates, the winner first; empty if there is no winner.
        histories: Of the study's runs.
        plots: In the order of the page.
        winner_values: The winner's hyperparameters.
        winner_run: The id in MLflow of the run that trained the winner's model; None if MLflow
            does not have it.
    """
    parts = [_header(study, ranked, histories)]
    if ranked:
        parts += [
            _winner(study, ranked, winner_values, winner_run),
            _front(study, ranked),
            _confirmations(study, ranked),
        ]
    else:
        # If there are complete ones, they all violate a constraint.
        complete = list(filter(is_finite, study.trials.all(TrialState.COMPLETE)))
        within = " and satisfies the constraints" if complete else ""
        parts.append(f"<p>No trial is complete{within}, so there is no winner.</p>")
    parts += [_plot(plot) for plot in plots]
    parts += [_best_trials(study, histories), _failures(study), _experiment(study)]
    return PAGE.format(
        title=escape(f"{study.name} · report"), style=STYLE, body="\n".join(filter(None, parts))
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], first_wins: bool = False) -> str:
    """Return an HTML table.

    Args:
        columns: The headers, as plain text.
        rows: The cells, as plain text.
        first_wins: Whether the first row is highlighted.
    """
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(_cell(text) for text in row)
        kind = "winner" if first_wins and index == 0 else "other"
        lines.append(f'<tr class="{kind}">{cells}</tr>')
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _cell(text: str) -> str:
    kind = "whole" if len(text) < SHORT_CELL else "broken"
    return f'<td class="{kind}">{escape(text)}</td>'


def _header(study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]) -> str:
    tiles = "".join(
        f"<li><b>{escape(big)}</b>{escape(small)}</li>"
        for big, small in _tiles(study, ranked, histories)
    )
    subtitle = f"A study of the experiment {study.plan.name}{_time_range(histories)}"
    return (
        f"<h1>{escape(study.name)}</h1>"
        f'<p class="soft">{escape(subtitle)}</p>'
        f'<ul class="tiles">{tiles}</ul>'
    )


def _tiles(
    study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]
) -> list[tuple[str, str]]:
    """Return the numbers at the top of the page, each with its meaning."""
    tiles = []
    if ranked:
        winner = ranked[0]
        tiles.append((number(winner.score), _meaning_of_score(study, winner)))
        if (accuracy := confirmation_table.accuracy_beside(study, winner)) is not None:
            tiles.append((number(accuracy), f"{ACCURACY} of the same trainings"))
        if winner.scores:
            optimism = confirmation_table.optimism(study.objective, winner)
            tiles.append((difference(optimism), "optimism: how much better its first score was"))
    counts = {STATE_WORDS[state]: len(study.trials.without_repeats(state)) for state in ENDED}
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    tiles.append((str(sum(counts.values())), f"trials: {words}" if words else "trials have ended"))
    if any(run.intervals for run in histories):
        trained = sum(run.seconds for run in histories)
        tiles.append((duration(trained), "of training, all workers together"))
    return tiles


def _meaning_of_score(study: Study, winner: Candidate) -> str:
    metric = f"{study.objective.metric} of trial {winner.trial.number}"
    if not winner.scores:
        return f"{metric}, not confirmed"
    if len(winner.scores) == 1:
        return f"{metric}, on one fresh seed"
    return f"{metric}, mean of {fresh_seeds(len(winner.scores))}"


def _time_range(histories: Sequence[RunHistory]) -> str:
    intervals = [interval for run in histories for interval in run.intervals]
    if not intervals:
        return ""
    begin = min(interval.start for interval in intervals)
    end = max(interval.end for interval in intervals)
    return f", {local_time(begin)} to {local_time(end)}"


def _winner(
    study: Study, ranked: Sequence[Candidate], values: Mapping[str, Any], run_id: str | None
) -> str:
    winner = ranked[0]
    pairs = "".join(
        f"<li>{escape(name)} <b>{escape(short_value(value))}</b></li>"
        for name, value in values.items()
    )
    run = run_id or "RUN"
    hint = "" if run_id else f"  # RUN: the id in MLflow of {winner.model.parent.name}"
    commands = [
        f"mnist-cnn replay {run}{hint}",
        f"{_trials_command(study)} --csv",
    ]
    text = "train the same model again; export all trials to a spreadsheet:"
    if problem := problem_of_promotion(study, winner):
        text = f"Promote and serve refuse its model: {problem}. To {text}"
    else:
        several = len(study.plan.objectives) > 1  # then promote has to be told which point
        which = f" RUN={run}{hint}" if several else ""
        commands.insert(0, f"make promote {study.plan.id.for_make}{which}")
        text = f"Promote its model if it passes on the test set; {text}"
    typed = "\n".join(commands)
    return (
        f"<h2>The winner: trial {winner.trial.number}</h2>"
        f'{_reason(study, ranked)}<ul class="pairs">{pairs}</ul>'
        f"<p>{escape(text)}</p><pre>{escape(typed)}</pre>"
    )


def _trials_command(study: Study) -> str:
    given = {"study": study.name, "storage": storage_option(study.storage)}
    return command("trials", study.plan.id, given)


def _reason(study: Study, ranked: Sequence[Candidate]) -> str:
    """Return why this trial won, where that is not obvious."""
    sentences = []
    if len(study.plan.objectives) > 1:
        count = len(study.plan.objectives)
        sentences.append(f"Ranked by {study.objective.metric}, the first of {count} objectives.")
    first, winner = study.ranking()[0], ranked[0]
    confirmed = {candidate.trial.number for candidate in ranked if candidate.scores}
    if first.number != winner.trial.number and first.number in confirmed:
        sentences.append(
            f"Trial {first.number} had the best first score, {number(first.values[0])}; on fresh "
            f"seeds, trial {winner.trial.number} is better."
        )
    return f"<p>{escape(' '.join(sentences))}</p>" if sentences else ""


def _front(study: Study, ranked: Sequence[Candidate]) -> str:
    rows = front.rows(study, ranked)
    if not rows:
        return ""
    text = f"No trial is better than one of these in all objectives. {front.how_to_promote(study)}"
    return f"<h2>The front</h2><p>{escape(text)}</p>" + table(front.columns(study), rows)


def _confirmations(study: Study, ranked: Sequence[Candidate]) -> str:
    rows = confirmation_table.rows(study, ranked)
    summary = confirmation_table.summary(study, ranked)
    if not rows:
        return f"<p>{escape(summary)}</p>" if summary else ""
    note = f"By {study.objective.metric}; the best mean wins. {summary}"
    return f"<h2>Confirmed on fresh seeds</h2><p>{escape(note)}</p>" + table(
        confirmation_table.columns(study), rows, first_wins=bool(ranked[0].scores)
    )


def _best_trials(study: Study, histories: Sequence[RunHistory]) -> str:
    best, runs = study.ranking()[:SHOWN_TRIALS], of_trials(histories)
    if not best:
        return ""
    values = {trial.number: _values(trial, runs) for trial in best}
    names = list(dict.fromkeys(name for some in values.values() for name in some))
    shown = names[:SHOWN_COLUMNS]
    rows = []
    for trial in best:
        run = runs.get(trial.number)
        facts = [str(len(run.epochs)), duration(run.seconds)] if run else ["", ""]
        cells = [short_value(values[trial.number].get(name, "")) for name in shown]
        rows.append([str(trial.number), *map(number, trial.values), *facts, *cells])
    metrics = [objective.metric for objective in study.plan.objectives]
    more = f" and {len(names) - len(shown)} more hyperparameters" if len(names) > len(shown) else ""
    ended = counted(len(study.trials.without_repeats(*ENDED)), "trial")
    return (
        f"<h2>The best {len(best)} of {ended}</h2>"
        + table(["trial", *metrics, "epochs", "trained", *shown], rows)
        + f'<p class="soft">All trials{escape(more)}: <code>'
        + escape(f"{_trials_command(study)} --csv")
        + "</code></p>"
    )


def _values(trial: FrozenTrial, runs: Mapping[int, RunHistory]) -> Mapping[str, Any]:
    return runs[trial.number].values if trial.number in runs else trial.params


def _failures(study: Study) -> str:
    """Return the reasons of failures, the most frequent first.

    Reasons that differ in numbers only are counted as one.
    """
    groups: dict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in study.trials.without_repeats(TrialState.FAIL):
        reason = trial.user_attrs.get("reason", "unknown")
        groups[re.sub(r"\d+", "#", reason)].append(trial)
    if not groups:
        return ""
    rows = []
    for trials in sorted(groups.values(), key=len, reverse=True):
        numbers = ", ".join(str(trial.number) for trial in trials[:SHOWN_NUMBERS])
        more = ", …" if len(trials) > SHOWN_NUMBERS else ""
        reason = trials[0].user_attrs.get("reason", "unknown")
        rows.append((str(len(trials)), reason, numbers + more))
    columns = ("count", "reason of the first one", "trials")
    return "<h2>Why trials failed</h2>" + table(columns, rows)


def _plot(plot: Plot) -> str:
    title, caption = escape(plot.title), escape(plot.caption)
    if plot.problem:
        return f"<h2>{title}</h2><p>This plot could not be drawn: {escape(plot.problem)}</p>"
    content = base64.b64encode(plot.path.read_bytes()).decode()
    return (
        f"<h2>{title}</h2><figure><figcaption>{caption}</figcaption>"
        f'<img alt="{title}" src="data:image/png;base64,{content}"></figure>'
    )


def _experiment(study: Study) -> str:
    return "<h2>The experiment</h2>" + table(("field", "value"), study.plan.description.items())
