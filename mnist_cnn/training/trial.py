"""One trial, from Optuna's question to one of three visible endings: complete, pruned, failed."""

import functools
import json
import math
import traceback
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError

from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.experiment import Experiment
from mnist_cnn.fingerprint import fingerprint
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.mlruns import CHECKPOINT_FILE, trial_folder
from mnist_cnn.optuna_internals import adopt_trial
from mnist_cnn.project import load_experiment
from mnist_cnn.study import screening
from mnist_cnn.study.outcome import objective_value, tell_optuna, write_end
from mnist_cnn.study.storage import open_storage
from mnist_cnn.tracking import journal, tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.build import has_own_fit
from mnist_cnn.training.callbacks import OnEpoch, Stop
from mnist_cnn.training.checkpoint import EpochMetrics
from mnist_cnn.training.data import load_data
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed
from mnist_cnn.training.run import Run, Trained


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
    study = _load_study(study_name, storage)
    # Seeded by the trial, so that it does not matter which worker takes it.
    study.sampler = experiment.sampler(seed=derived_seed(experiment.seed, number, 1))
    study.pruner = experiment.pruner()
    refuse_changed(experiment, study)
    journal = Journal(folder)
    if not journal.ended:
        trial = adopt_trial(study, trial_id)
        own_tags = {tags.KIND: "trial", tags.TRIAL: str(number), tags.STATE: "RUNNING"}
        if screening.IN_FULL in trial.user_attrs:
            own_tags[tags.IN_FULL] = str(trial.user_attrs[screening.IN_FULL])
        beginning = screening.checkpoint_source(trial)
        run = Run(
            experiment=experiment,
            data=load_data(experiment_name),
            journal=journal,
            title=f"trial {number:03d}",
            tags=own_tags,
            epochs=experiment.epochs,
            seed=derived_seed(experiment.seed, beginning),
        )
        if beginning != number:
            _take_over(trial_folder(folder.parent, beginning), run)
        _train(run, trial)
    tell_optuna(store, study, number, journal)


@functools.cache  # with it the finished trials that were read: a study of thousands takes seconds
def _load_study(name: str, storage: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(storage))


def refuse_changed(experiment: Experiment, study: optuna.Study) -> None:
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
    tagged = [event["tags"] for event in events if tags.RECIPE in event.get("tags", {})]
    recipes = [json.loads(found[tags.RECIPE]) for found in tagged]
    same = json.loads(json.dumps(run.recipe({})))  # but for the values, which are its look's
    if has_own_fit(run.experiment.space) or not recipes or recipes[-1] | {"values": {}} != same:
        return
    run.journal.folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (look / CHECKPOINT_FILE).replace(run.journal.folder / CHECKPOINT_FILE)


def _train(run: Run, trial: optuna.Trial) -> None:
    hp = TrialHyperParameters(trial)
    try:
        trained = run.train(hp, _reporter(run, trial))
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
        write_end(run.journal, "FAIL", reason=one_line(error))
    else:
        _end(run, trial, trained, hp)


def _reporter(run: Run, trial: optuna.Trial) -> OnEpoch:
    """Return what tells Optuna of each epoch, and answers why the trial should stop."""
    screen, metric = run.experiment.screen, run.experiment.objectives[0].metric
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values

    def report(epoch: int, metrics: EpochMetrics) -> Stop | None:
        if epoch not in reported:
            trial.report(metrics[metric], epoch)
        if screening.ends(screen, trial, epoch):
            return Stop("look", f"looked at up to epoch {epoch}")
        if epoch < run.epochs and trial.should_prune():
            return Stop("pruned", f"behind the others after epoch {epoch}")
        return None

    if len(run.experiment.objectives) > 1:
        # Optuna neither takes reports of such a trial nor prunes it.
        return lambda epoch, metrics: None
    return report


def _end(run: Run, trial: optuna.Trial, trained: Trained, hp: TrialHyperParameters) -> None:
    """Write how a trial that was trained ended."""
    stop, summary = trained.stop, trained.summary
    if stop and stop.kind == "look":
        trial.set_user_attr(screening.LOOKED_AT, hp.values)
    if stop and stop.kind != "stale":
        write_end(run.journal, "PRUNED", reason=stop.reason, summary=summary)
        return
    metrics = [objective.metric for objective in run.experiment.objectives]
    values = [objective_value(summary, metric) for metric in metrics]
    for metric, value in zip(metrics, values, strict=True):
        if math.isnan(value):
            write_end(run.journal, "FAIL", reason=f"{metric} is not a number", summary=summary)
            return
    write_end(run.journal, "COMPLETE", values=values, summary=summary)
