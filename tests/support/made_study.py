"""Studies as searches leave them, made without training: in Optuna, and as journals on disk."""

import math
import random
from datetime import datetime, timedelta

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from mnist_cnn.experiment import Confirm, Maximize
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.project.plan import Plan
from mnist_cnn.study.outcome import RUN_STATUS
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import OF, SEED, make_study
from mnist_cnn.tracking.journal import Journal

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
BEGIN = datetime(2026, 11, 20, 9, 0, 0)

DOMAINS = {
    "blocks": IntDistribution(2, 4),
    "pooling": CategoricalDistribution(("max", "average")),
    "batch_normalisation": CategoricalDistribution((True, False)),
    "filters_0": IntDistribution(8, 32, step=8),
    "dense": IntDistribution(0, 3),  # the place in a grid: 32, 64, 128, 256
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
    "optimizer": CategoricalDistribution(("adam", "sgd")),
    "adam_learning_rate[optimizer=adam]": FloatDistribution(1e-3, 2e-2, log=True),
    "sgd_learning_rate[optimizer=sgd]": FloatDistribution(1e-2, 0.3, log=True),
}
REASONS = ("TrainingFailed: the loss became nan in epoch 1", "ValueError: <b>no</b> room & no time")


ACCURACY = (Maximize("val_accuracy"),)
RATE = FloatDistribution(1e-4, 1e-1, log=True)


def made_study(folder, objectives=ACCURACY, confirm=None, name="mnist-1", storage=None):
    """A study without a trial, with a folder of its own; `storage`: a URL."""
    study_folder = folder / "mlruns" / "checkpoints" / name
    study_folder.mkdir(parents=True)
    storage = storage or f"sqlite:///{folder}/made.db"
    created = optuna.create_study(
        storage=open_storage(storage),
        study_name=name,
        directions=[objective.direction for objective in objectives],
    )
    created.set_user_attr("metrics", [objective.metric for objective in objectives])
    plan = Plan(
        id=ExperimentId(name.rpartition("-")[0]),
        objectives=tuple(objectives),
        trials=40,
        timeout_seconds=None,
        trial_timeout_seconds=None,
        epochs=6,
        screen=None,
        confirm=confirm or Confirm(trials=0),
        baselines=(),
        description={"space": "search_spaces.cnn.cnn", "epochs": "6", "note": "<script>x</script>"},
        fingerprint="0",
    )
    return make_study(plan, storage, created, study_folder)


def finished_trial(
    number,
    values,
    state=COMPLETE,
    *,
    params=None,
    domains=None,
    reported=(),
    minutes=(0, 1),
    reason="",
    violation=None,
):
    """A trial as Optuna stores it.

    minutes: from when to when it ran; violation: of a constraint, if there is one.
    """
    start, end = (BEGIN + timedelta(minutes=minute) for minute in minutes)
    trial = create_trial(
        state=state,
        values=values,
        params=params or {},
        distributions={name: (domains or DOMAINS)[name] for name in params or {}},
        intermediate_values=dict(enumerate(reported, start=1)),
        user_attrs={"reason": reason} if reason else {},
        constraints=None if violation is None else {"a constraint": violation},
    )
    trial.number, trial.datetime_start, trial.datetime_complete = number, start, end
    return trial


def write_journal(
    folder, tags, minutes, *, values=None, epochs=(), state="COMPLETE", reason="", worker=""
):
    """The journal of a run, and the model file of one that finished.

    minutes: from when to when, for each stretch of the run; epochs: the metrics of each.
    """
    journal = Journal(folder)
    for number, (start, end) in enumerate(minutes):
        name = f"{folder.name} · conv 32-64"
        told = {"tags": tags, "values": values, "worker": worker, "params": {}}
        journal.write("start", time=_ms(start), name=name, **told)
        if number < len(minutes) - 1:
            journal.write("pause", time=_ms(end), tags={})
    for step, metrics in enumerate(epochs, start=1):
        journal.write("metrics", time=_ms(minutes[-1][0]), step=step, metrics=metrics)
    summary = {f"best_{name}": value for name, value in (epochs[-1] if epochs else {}).items()}
    journal.write(
        "end",
        time=_ms(minutes[-1][1]),
        status=RUN_STATUS[state],
        tags={"optuna.state": state} | ({"reason": reason} if reason else {}),
        reason=reason,
        values=None,
        step=len(epochs),
        metrics=summary if state == "COMPLETE" else {},
    )
    if state == "COMPLETE":
        (folder / MODEL_FILE).write_bytes(folder.name.encode())


def searched_study(folder, trials=24, workers=2, seed=0, **fields):
    """A study with trials of all kinds, one of them interrupted, and its confirmations."""
    study, luck = made_study(folder, **fields), random.Random(seed)
    free = [0.0] * workers
    for number in range(trials):
        worker = free.index(min(free))
        begin = free[worker]
        params = _params(luck)
        skill = _skill(params) + luck.gauss(0, 0.0012)
        state = _state(number, skill, luck)
        length = 6 if state == COMPLETE else 0 if state == FAIL else luck.randint(1, 4)
        reported = [
            skill - 0.05 * math.exp(-epoch) + luck.gauss(0, 5e-4) for epoch in range(length)
        ]
        free[worker] = end = begin + 0.15 + length * luck.uniform(0.25, 0.5)
        stretches = [(begin, end)]
        if number == 5:  # stopped, and gone on with the next day
            stretches = [(begin, begin + 0.6), (begin + 1200, end + 1200)]
            free = [max(at, begin + 0.6) + 1200 for at in free]
        reason = REASONS[number % 2] if state == FAIL else ""
        epochs = [_metrics(value, params) for value in reported]
        values = (
            [epochs[-1][o.metric] for o in study.plan.objectives] if state == COMPLETE else None
        )
        single = len(study.plan.objectives) == 1
        if state == PRUNED and single:
            values = [reported[-1]]  # as Optuna has it
        study.trials.optuna_study.add_trial(
            finished_trial(
                number,
                values,
                state,
                params=params,
                reported=reported if single else (),
                minutes=(begin, stretches[-1][1]),
                reason=reason,
            )
        )
        write_journal(
            study.trials.folder(number),
            {"kind": "trial", "optuna.trial": str(number)},
            stretches,
            values=seen(params),
            epochs=epochs,
            state=state.name,
            reason=reason,
            worker=str(worker + 1),
        )
    _confirm(study, max(free), luck)
    return study


def seen(params):
    """The values as the space saw them."""
    values = {name.partition("[")[0]: value for name, value in params.items()}
    return values | {"dense": 32 * 2 ** values["dense"]}


def _params(luck):
    params = {
        "blocks": luck.randint(2, 4),
        "pooling": luck.choice(["max", "average"]),
        "batch_normalisation": luck.random() < 0.6,
        "filters_0": luck.choice([8, 16, 24, 32]),
        "dense": luck.randint(0, 3),
        "dropout": round(luck.randint(0, 5) * 0.1, 1),
        "optimizer": luck.choice(["adam", "adam", "sgd"]),
    }
    if params["optimizer"] == "adam":
        params["adam_learning_rate[optimizer=adam]"] = 1e-3 * 20 ** luck.random()
    else:
        params["sgd_learning_rate[optimizer=sgd]"] = 1e-2 * 30 ** luck.random()
    return params


def _skill(params):
    rate = params.get("adam_learning_rate[optimizer=adam]")
    off = abs(math.log(rate / 0.005)) if rate else 0.8
    return 0.9915 - 0.004 * off - 0.03 / params["filters_0"] + 0.002 * params["batch_normalisation"]


def _state(number, skill, luck):
    if number % 11 == 7:
        return FAIL
    return PRUNED if number > 4 and skill < 0.9855 + luck.gauss(0, 0.001) else COMPLETE


def _metrics(accuracy, params):
    size = 1000 * params["filters_0"] * (1 + params["dense"]) * params["blocks"]
    return {
        "val_accuracy": accuracy,
        "val_loss": 4 * (1 - accuracy),
        "parameters": float(size),
        "epoch_seconds": 20.0,
    }


def _confirm(study, minute, luck):
    confirm = study.plan.confirm
    for trial in study.ranking()[: confirm.trials]:
        for index in range(confirm.seeds):
            score = trial.values[0] - 0.0015 + luck.gauss(0, 0.0006)
            write_journal(
                confirm_trial(study, trial.number, index, score),
                {"kind": "confirmation", "optuna.trial": str(trial.number)},
                [(minute, minute + 3)],
                values=seen(trial.params),
                epochs=[_metrics(score, trial.params)],
                worker=str(index % 2 + 1),
            )
            minute += 1.5 * (index + 1)


def confirm_trial(study, number, seed, score):
    """Record that a trial's configuration came to `score` on a fresh seed; returns its folder."""
    confirmation = create_trial(state=COMPLETE, values=[score], user_attrs={OF: number, SEED: seed})
    study.confirmations.optuna_study.add_trial(confirmation)
    return study.confirmations.folder_of(confirmation)


def _ms(minute):
    return int((BEGIN + timedelta(minutes=minute)).timestamp() * 1000)


# What each trial reported, how it ended, and its parameters.
SMALL_STUDIES = {
    "none at all": [],
    "none complete": [([0.3], PRUNED, {"rate": 0.01}), ([], FAIL, {"rate": 0.02})],
    "one trial": [([0.5, 0.7], COMPLETE, {"rate": 0.01})],
    "all equal": [([0.5, 0.5], COMPLETE, {"rate": 0.01})] * 12,
    "without parameters": [([0.5, 0.5 + n / 100], COMPLETE, {}) for n in range(9)],
    "one parameter": [([0.5 + n / 100], COMPLETE, {"rate": 10 ** (-1 - n / 4)}) for n in range(9)],
    "no numbers": [([math.nan, 0.1 * n], COMPLETE, {"rate": 0.01 + n / 100}) for n in range(4)]
    + [([math.nan], PRUNED, {"rate": 0.01}), ([0.2, math.inf], COMPLETE, {"rate": 0.01})],
    "infinite only": [([math.inf], COMPLETE, {"rate": 0.01 * n + 0.01}) for n in range(4)],
    "a hundred parameters": [
        ([n / 10], COMPLETE, {f"a_rather_long_name/{p}": 0.001 * (n + p + 1) for p in range(100)})
        for n in range(9)
    ],
    "no formula": [([n / 10], COMPLETE, {"$a_$": 0.05 * n, "$b_$": 0.9}) for n in range(9)],
    "nothing in common": [([n / 10], COMPLETE, {f"p{n}": 0.01}) for n in range(9)],
}


def study_with(folder, told, objective):
    """A study with the trials of one of `SMALL_STUDIES`."""
    study = made_study(folder, objectives=(objective,))
    for number, (reported, state, params) in enumerate(told):
        last = reported[-1] if reported and not math.isnan(reported[-1]) else None
        study.trials.optuna_study.add_trial(
            finished_trial(
                number,
                None if state == FAIL or last is None else [last],
                state,
                params=params,
                domains=dict.fromkeys(
                    params, RATE if "rate" in params else FloatDistribution(0, 1)
                ),
                reported=reported,
                minutes=(number, number + 1),
            )
        )
        write_journal(
            study.trials.folder(number),
            {"kind": "trial", "optuna.trial": str(number)},
            [(number, number + 1)],
            values=params,
            state=state.name,
        )
    return study
