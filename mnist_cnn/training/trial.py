"""One trial, from Optuna's question to one of three visible endings: complete, pruned, failed."""

import json
import math
import re
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
import optuna
from optuna.exceptions import StorageInternalError

from mnist_cnn import space as space_source
from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.experiment import Experiment, find_project, fingerprint, load_experiment
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.mlruns import CHECKPOINT_FILE, trial_folder
from mnist_cnn.study import screening
from mnist_cnn.study.outcome import Replayed, end, objective_value, tell
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import journal
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.fit import EpochMetrics, has_own_fit, precision
from mnist_cnn.training.run import RECIPE_TAG, WEIGHTS_TAG, Run, derived_seed, load_data

CONFIRMATION_SEEDS = 1_000_000  # from here on; far from every trial's number, which seeds a trial


def run_trial(
    experiment_name: str, study_name: str, storage: str, trial_id: int, folder: Path
) -> None:
    """Run the trial that Optuna stores under `trial_id`, from where it is to its end.

    Happens in a worker process. The trial's files go to `folder`.

    Raises UserError if no trial of the experiment could succeed, as for an objective whose metric
    does not exist. A failure of this trial alone is its result.
    """
    experiment = load_experiment(experiment_name)
    store = open_storage(storage)
    number = store.get_trial(trial_id).number
    study = optuna.load_study(
        study_name=study_name,
        storage=store,
        # Seeded by the trial, so that it does not matter which worker takes it.
        sampler=experiment.sampler(seed=derived_seed(experiment.seed, number, 1)),
        pruner=experiment.pruner(),
    )
    _refuse_changed(experiment, study)
    journal = Journal(folder)
    if not journal.ended:
        trial = optuna.trial.Trial(study, trial_id)
        tags = {"kind": "trial", "optuna.trial": str(number), "optuna.state": "RUNNING"}
        if screening.IN_FULL in trial.user_attrs:
            tags["optuna.in_full"] = str(trial.user_attrs[screening.IN_FULL])
        beginning = screening.begins_with(trial)
        run = Run(
            experiment=experiment,
            data=load_data(experiment_name),
            journal=journal,
            title=f"trial {number:03d}",
            tags=tags,
            epochs=experiment.epochs,
            seed=derived_seed(experiment.seed, beginning),
        )
        if beginning != number:
            _take_over(trial_folder(folder.parent, beginning), run)
        _train(run, trial)
    tell(study, number, journal)


def run_confirmation(
    experiment_name: str, study_name: str, storage: str, number: int, index: int, folder: Path
) -> None:
    """Train the configuration of trial `number` on its fresh seed `index`, in a worker process."""
    experiment = load_experiment(experiment_name)
    study = optuna.load_study(study_name=study_name, storage=open_storage(storage))
    _refuse_changed(experiment, study)
    trial = study.get_trials(deepcopy=False)[number]
    run = Run(
        experiment=experiment,
        data=load_data(experiment_name),
        journal=Journal(folder),
        title=f"confirmation {index + 1} of trial {number:03d}",
        tags={"kind": "confirmation", "optuna.trial": str(number)},
        epochs=experiment.confirm.epochs or experiment.epochs,
        seed=derived_seed(experiment.seed, number, CONFIRMATION_SEEDS + index),
    )
    try:
        summary = run.train(TrialHyperParameters(trial), lambda epoch, metrics: False)
    except UserError:
        raise
    except Exception as error:
        if full := full_disk(error):
            raise full from error
        run.journal.write(
            "end", status="FAILED", tags={"reason": one_line(error)}, step=0, metrics={}
        )
    else:
        step = run.journal.last_step
        run.journal.write("end", status="FINISHED", tags={}, step=step, metrics=summary)


def run_replay(
    experiment_name: str, recipe: dict[str, Any], source: Path | None, folder: Path
) -> Replayed:
    """Train what `recipe` says from the beginning, in a worker process; files go to `folder`.

    source: the text of the space's file as it was then; None leaves it as it is now.
    """
    find_project()
    if source is not None:
        space_source.bring_back(recipe["space_module"], source)
    experiment = load_experiment(experiment_name)
    if recipe["precision"] != precision(experiment):
        experiment = replace(experiment, precision=recipe["precision"])  # of another machine
    run = Run(
        experiment=experiment,
        data=load_data(experiment_name),
        journal=Journal(folder),
        title="replay",
        tags={},
        epochs=recipe["epochs"],
        seed=recipe["seed"],
    )
    hp = keras_tuner.HyperParameters()
    hp.values.update(recipe["values"])  # a value that is there before its declaration is kept
    last = recipe["trained"]
    run.train(hp, lambda epoch, metrics: epoch == last)
    events, _ = journal.read(folder)
    start = next(event for event in events if event["event"] == "start")
    (weights,) = (e["tags"][WEIGHTS_TAG] for e in events if WEIGHTS_TAG in e.get("tags", {}))
    return Replayed(
        recipe=json.loads(start["tags"][RECIPE_TAG]),
        history=[event["metrics"] for event in events if event["event"] == "metrics"],
        weights=weights,
    )


def _refuse_changed(experiment: Experiment, study: optuna.Study) -> None:
    """A worker that was started after an edit would put trials of another space into the study."""
    if fingerprint(experiment) != study.user_attrs["fingerprint"]:
        raise UserError(
            "the space, the experiment, its data or mnist-cnn changed while the search was going "
            "on; type the same command again: it opens a new study"
        )


def _take_over(look: Path, run: Run) -> None:
    """Move the checkpoint of a look to the run's folder, if the run would come to the same.

    A HyperModel's own `fit` may order the images otherwise than from the beginning.
    """
    events, _ = journal.read(look)
    recipes = [json.loads(e["tags"][RECIPE_TAG]) for e in events if RECIPE_TAG in e.get("tags", {})]
    same = json.loads(json.dumps(run.recipe({})))  # but for the values, which are its look's
    if has_own_fit(run.experiment.space) or not recipes or recipes[-1] | {"values": {}} != same:
        return
    run.journal.folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (look / CHECKPOINT_FILE).replace(run.journal.folder / CHECKPOINT_FILE)


def _train(run: Run, trial: optuna.Trial) -> None:
    objectives = run.experiment.objectives
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    hp = TrialHyperParameters(trial)
    pruned = ""  # why
    looked_at = False

    def report(epoch: int, metrics: EpochMetrics) -> bool:
        nonlocal pruned, looked_at
        if len(objectives) > 1:
            return False  # Optuna neither takes reports of such a trial nor prunes it
        if epoch not in reported:
            trial.report(metrics[objectives[0].metric], epoch)
        if screening.ends(run.experiment.screen, trial, epoch):
            looked_at = True
            pruned = f"looked at up to epoch {epoch}"
        elif epoch < run.epochs and trial.should_prune():
            pruned = f"behind the others after epoch {epoch}"
        return bool(pruned)

    try:
        summary = run.train(hp, report)
    except (UserError, StorageInternalError):
        raise
    except Exception as error:
        if full := full_disk(error):
            raise full from error
        # A space or a training may fail in any way; the trial fails with it and the search goes on.
        if run.journal.last is None:
            run.start(hp.values, "not built", {})
        (run.journal.folder / "failure.txt").write_text(traceback.format_exc())
        run.journal.write("artifact", path="failure.txt")
        end(run.journal, "FAIL", reason=one_line(error))
    else:
        if looked_at:
            trial.set_user_attr(screening.LOOKED_AT, hp.values)
        if pruned:
            end(run.journal, "PRUNED", reason=pruned, summary=summary)
        else:
            values = {item.metric: objective_value(summary, item.metric) for item in objectives}
            if bad := [metric for metric, value in values.items() if math.isnan(value)]:
                end(run.journal, "FAIL", reason=f"{bad[0]} is not a number", summary=summary)
            else:
                end(run.journal, "COMPLETE", values=list(values.values()), summary=summary)


def one_line(error: BaseException) -> str:
    """The error's kind and its message in one line, of 300 characters at the most.

    Keras writes the call that failed first, the reason second, and then pages of arguments.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("Arguments received by")[0]
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:300].rstrip(": ")
