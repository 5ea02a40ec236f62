"""A study's report as one HTML page, which needs nothing but itself."""

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_cnn.charts.style import SHOWN_PARAMETERS
from mnist_cnn.report import confirmation_table
from mnist_cnn.report.history import RunHistory, of_trials
from mnist_cnn.report.plots import Picture
from mnist_cnn.report.text import (
    STATE_WORDS,
    difference,
    duration,
    fresh_seeds,
    moment,
    number,
    short,
)
from mnist_cnn.study.confirmation import Candidate
from mnist_cnn.study.study import Study

SHOWN_TRIALS = 20
SHOWN_NUMBERS = 12  # of trials that failed for one reason

# A picture is dark on white; turned round, with its hues kept, it is light on black.
STYLE = """
:root { color-scheme: light dark; --ink: #1a1c1e; --paper: #fff; --soft: #5c6268; --line: #d9dde1;
  --tint: #f3f5f7; --accent: #0062a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --paper: #111315; --soft: #a0a7ae; --line: #353a3f; --tint: #1b1e21;
    --accent: #6cb8ec; }
  img { filter: invert(0.93) hue-rotate(180deg) brightness(1.15); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0.5rem 0 0; }
h2 { margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h2, h3 { font-size: 1.2rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 0.75rem;
  margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { padding: 0.6rem 0.9rem; border-radius: 0.5rem; background: var(--tint); }
.tiles b { display: block; font-size: 1.4rem; line-height: 1.3; white-space: nowrap; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
  gap: 0 1.5rem; padding: 0; list-style: none; font-size: 0.9rem; }
.pairs li { display: flex; justify-content: space-between; gap: 1rem; padding: 0.25rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tr.winner td { font-weight: 700; }
td.whole { white-space: nowrap; }
pre { overflow-x: auto; padding: 0.7rem 0.9rem; border-radius: 0.5rem; background: var(--tint); }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { position: sticky; left: 0; }
img { display: block; width: 100%; min-width: 40rem; height: auto; }
a { color: var(--accent); }
"""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
<body>
{body}
</body>
</html>
"""


def report_page(
    study: Study,
    ranked: Sequence[Candidate],
    histories: Sequence[RunHistory],
    pictures: Sequence[Picture],
    winner_values: Mapping[str, Any],
    winner_run: str | None,
) -> str:
    """The page.

    ranked: the candidates, the winner first; none if no trial completed.
    winner_values: the winner's hyperparameters.
    winner_run: the id in MLflow of the run that its model comes from, if MLflow has it.
    """
    parts = [_head(study, ranked, histories)]
    if ranked:
        parts += [
            _winner(study, ranked, winner_values, winner_run),
            _confirmations(study, ranked),
        ]
    parts += [_picture(picture) for picture in pictures]
    parts += [_best_trials(study, histories), _failures(study), _experiment(study)]
    return PAGE.format(
        title=escape(f"{study.name} · report"), style=STYLE, body="\n".join(filter(None, parts))
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], first_wins: bool = False) -> str:
    """An HTML table of plain text; with `first_wins` the first row stands out."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = []
    for place, row in enumerate(rows):
        # What is short must not be broken; a message may.
        looks = ("whole" if len(cell) < 40 else "broken" for cell in row)
        cells = "".join(
            f'<td class="{look}">{escape(cell)}</td>' for look, cell in zip(looks, row, strict=True)
        )
        look = "winner" if first_wins and place == 0 else "other"
        lines.append(f'<tr class="{look}">{cells}</tr>')
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _head(study: Study, ranked: Sequence[Candidate], histories: Sequence[RunHistory]) -> str:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    counts = {state: len(study.trials(state)) for state in states}
    metric = study.objective.metric
    tiles = [(str(sum(counts.values())), _counted(counts))]
    if ranked:
        best = ranked[0]
        several = f"mean of {fresh_seeds(len(best.scores))}"
        kind = {0: "not confirmed", 1: "on one fresh seed"}.get(len(best.scores), several)
        tiles.insert(0, (number(best.score), f"{metric} of trial {best.trial.number}, {kind}"))
        if best.scores:
            tiles.insert(
                1, (difference(best.first - best.score), "its first score minus that mean")
            )
    stretches = [stretch for run in histories for stretch in run.stretches]
    if stretches:
        trained = sum(run.seconds for run in histories)
        tiles.append((duration(trained), "of training, all workers together"))
    begin = min((stretch.start for stretch in stretches), default=None)
    end = max((stretch.end for stretch in stretches), default=None)
    when = f", {moment(begin)} to {moment(end)}" if begin and end else ""
    items = "".join(f"<li><b>{escape(big)}</b>{escape(small)}</li>" for big, small in tiles)
    return (
        f"<h1>{escape(study.name)}</h1>"
        f'<p class="soft">A study of the experiment {escape(study.plan.name)}{escape(when)}</p>'
        f'<ul class="tiles">{items}</ul>'
    )


def _counted(counts: Mapping[TrialState, int]) -> str:
    return "trials: " + ", ".join(f"{n} {STATE_WORDS[state]}" for state, n in counts.items() if n)


def _winner(
    study: Study, ranked: Sequence[Candidate], values: Mapping[str, Any], run_id: str | None
) -> str:
    winner = ranked[0]
    pairs = "".join(
        f"<li>{escape(name)} <b>{escape(short(value))}</b></li>" for name, value in values.items()
    )
    run = run_id or "RUN"
    hint = "" if run_id else f"  # RUN: the id in MLflow of {winner.model.parent.name}"
    commands = (
        f"make promote EXPERIMENT={study.plan.name}\n"
        f"mnist-cnn replay {run}{hint}\n"
        f"mnist-cnn trials --experiment {study.plan.name} --study {study.name} --csv"
    )
    return (
        f"<h2>The winner: trial {winner.trial.number}</h2>"
        f'{_why(study, ranked)}<ul class="pairs">{pairs}</ul>'
        "<p>Make its model the champion, if the test set says so; train the very same model "
        f"again; take all trials to a spreadsheet:</p><pre>{escape(commands)}</pre>"
    )


def _why(study: Study, ranked: Sequence[Candidate]) -> str:
    """What trials are ranked by and why another was not taken, where that is not plain."""
    lines = []
    if len(study.plan.objectives) > 1:
        count = len(study.plan.objectives)
        lines.append(f"Ranked by {study.objective.metric}, the first of {count} objectives.")
    first, winner = study.ranking()[0], ranked[0]
    confirmed_ones = {candidate.trial.number for candidate in ranked if candidate.scores}
    if first.number != winner.trial.number and first.number in confirmed_ones:
        lines.append(
            f"Trial {first.number} had the best first score, {number(first.values[0])}; on fresh "
            f"seeds trial {winner.trial.number} is ahead."
        )
    return f"<p>{escape(' '.join(lines))}</p>" if lines else ""


def _confirmations(study: Study, ranked: Sequence[Candidate]) -> str:
    rows, words = confirmation_table.rows(study, ranked), confirmation_table.in_words(study, ranked)
    if not rows:
        return f"<p>{escape(words)}</p>" if words else ""
    note = f"By {study.objective.metric}; the best mean wins. {words}"
    return f"<h2>Confirmed on fresh seeds</h2><p>{escape(note)}</p>" + table(
        confirmation_table.COLUMNS, rows, first_wins=True
    )


def _best_trials(study: Study, histories: Sequence[RunHistory]) -> str:
    best, runs = study.ranking()[:SHOWN_TRIALS], of_trials(histories)
    if not best:
        return ""
    values = {trial.number: _values(trial, runs) for trial in best}
    names = list(dict.fromkeys(name for some in values.values() for name in some))
    shown = names if len(names) <= 2 * SHOWN_PARAMETERS else names[: 2 * SHOWN_PARAMETERS]
    rows = []
    for trial in best:
        run = runs.get(trial.number)
        facts = [str(len(run.epochs)), duration(run.seconds)] if run else ["", ""]
        cells = [short(values[trial.number].get(name, "")) for name in shown]
        rows.append([str(trial.number), *map(number, trial.values), *facts, *cells])
    metrics = [objective.metric for objective in study.plan.objectives]
    more = f" and {len(names) - len(shown)} more hyperparameters" if len(names) > len(shown) else ""
    return (
        f"<h2>The best {len(best)} of {len(study.finished())} trials</h2>"
        + table(["trial", *metrics, "epochs", "trained", *shown], rows)
        + f'<p class="soft">All trials{escape(more)}: <code>mnist-cnn trials --csv</code></p>'
    )


def _values(trial: FrozenTrial, runs: Mapping[int, RunHistory]) -> Mapping[str, Any]:
    return runs[trial.number].values if trial.number in runs else trial.params


def _failures(study: Study) -> str:
    """The reasons, those alike but for numbers together, the most frequent first."""
    groups: dict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in study.trials(TrialState.FAIL):
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
    return "<h2>Why trials failed</h2>" + table(("trials", "reason, of the first", "which"), rows)


def _picture(picture: Picture) -> str:
    title, text = escape(picture.title), escape(picture.text)
    if picture.problem:
        return f"<h2>{title}</h2><p>It could not be drawn: {escape(picture.problem)}</p>"
    content = base64.b64encode(picture.path.read_bytes()).decode()
    return (
        f"<h2>{title}</h2><figure><figcaption>{text}</figcaption>"
        f'<img alt="{title}" src="data:image/png;base64,{content}"></figure>'
    )


def _experiment(study: Study) -> str:
    rows = [(name, text) for name, text in study.plan.description.items()]
    return "<h2>The experiment</h2>" + table(("field", "value"), rows)
