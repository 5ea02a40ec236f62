"""One trial in a worker, from its parameters to the end in its journal: complete, pruned, failed.

The search process then tells Optuna. A confirmation is a trial too, of the study `<study>.confirm`.
"""

import functools
import math
import os
import traceback
from contextlib import suppress
from pathlib import Path

import keras_tuner
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from mnist_cnn.errors import UserError, full_disk
from mnist_cnn.experiment import Experiment
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.file_lock import file_lock
from mnist_cnn.files import make_folder
from mnist_cnn.hyperparameters import TrialHyperParameters
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, NODE, RUN_LOCK_FILE
from mnist_cnn.optuna_internals import StudyAs, adopt_trial, all_trials, trial_id
from mnist_cnn.project.fingerprint import fingerprint
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.study import chains
from mnist_cnn.study.outcome import objective_value, write_end
from mnist_cnn.study.storage import StorageError, storage_failed, storage_of_worker
from mnist_cnn.study.study import CONFIRM_SUFFIX, OF, PRECISION, SEED, folder_of_run, title_and_tags
from mnist_cnn.tracking.journal import Journal
from mnist_cnn.training.build import has_own_fit
from mnist_cnn.training.data import Data, load_data
from mnist_cnn.training.failure import one_line
from mnist_cnn.training.recipe import derived_seed
from mnist_cnn.training.reporting import (
    RepeatedError,
    broken_constraints,
    note_sampled,
    reporter,
    size_check,
)
from mnist_cnn.training.run import Run
from mnist_cnn.training.sampling import (
    after_trial,
    has_nothing_left,
    random_after_repeats,
    repeated_trial,
    sampler_of,
)
from mnist_cnn.training.train import Trained, train
from mnist_cnn.workers import machine

# Confirmations are seeded from this number on. Trials are seeded by their own, much smaller number.
CONFIRMATION_SEEDS = 1_000_000


def run_trial(
    experiment_id: ExperimentId, study_name: str, storage: str, number: int, folder: Path
) -> bool:
    """Run a trial, or resume it, to its end. This runs in a worker process.

    Args:
        experiment_id: The identity of the experiment.
        study_name: The name of the Optuna study.
        storage: The URL of Optuna's storage.
        number: The number of the trial in the study.
        folder: The folder for the run's files. It is locked while the trial runs.

    Returns:
        Whether the sampler has nothing left to try.

    Raises:
        UserError: No trial of the experiment could succeed, or the storage failed. A failure of
            this trial alone is recorded as its end.
        Unreachable: The storage cannot be reached.
    """
    experiment = load_experiment(experiment_id)
    data = load_data(experiment_id)
    make_folder(folder)
    try:
        study = _load_study(study_name, storage)
        _refuse_changed(experiment, study)
        # A served storage only samples for trials that it has listed.
        trials = study.get_trials(deepcopy=False)
        seed = study_seed(experiment.seed, study_name)
        own_sampler = sampler_of(experiment, seed, number)
        study.sampler = random_after_repeats(own_sampler, trials, number, seed)
        study.pruner = experiment.pruner()
        with file_lock(folder / RUN_LOCK_FILE):
            journal = Journal(folder)
            if journal.ended:
                return False
            own = trial_id(storage_of_worker(storage), study_name, number)
            trial = adopt_trial(study, own)
            return _train(_run_of(experiment, data, journal, trial), trial, own_sampler)
    except StorageError as error:
        raise storage_failed(error) from error


@functools.cache  # it keeps the finished trials that were read: reading thousands takes seconds
def _load_study(name: str, storage: str) -> optuna.Study:
    """Load a study that has each configuration once, also those that were continued.

    The sampler and the pruner would count these several times otherwise.
    """
    return StudyAs(name, storage_of_worker(storage), chains.configurations)


def _refuse_changed(experiment: Experiment, study: optuna.Study) -> None:
    """Refuse an experiment that was edited since the search began.

    A worker that started after the edit would put trials of another space into the study.
    """
    if fingerprint(experiment) != study.user_attrs["fingerprint"]:
        raise UserError(
            "the space, the experiment, its data or mnist-cnn changed while the search was "
            "running; type the same command again: it opens a new study"
        )


def study_seed(seed: int, study_name: str) -> int:
    """Return the seed of a study: that of its experiment, or for a later study another one.

    Otherwise a later study would sample what the first one has sampled, and confirm on its seeds.

    Args:
        seed: The experiment's.
        study_name: The name of the study, or of its confirmations.
    """
    number = study_name.removesuffix(CONFIRM_SUFFIX).rpartition("-")[2]
    return seed if number == "1" else derived_seed(seed, int(number), 2)


def _run_of(experiment: Experiment, data: Data, journal: Journal, trial: optuna.Trial) -> Run:
    """Return the run of a trial or of a confirmation."""
    title, own_tags = title_and_tags(trial)
    of_study = study_seed(experiment.seed, trial.study.study_name)
    if OF in trial.user_attrs:
        epochs = experiment.confirm.epochs or experiment.epochs
        # All candidates share it, so that they are compared on common seeds.
        seed = derived_seed(of_study, CONFIRMATION_SEEDS + trial.user_attrs[SEED])
    else:
        epochs = experiment.epochs
        seed = derived_seed(of_study, chains.first_of(trial))
    return Run(
        experiment=experiment,
        data=data,
        journal=journal,
        title=title,
        tags=own_tags,
        epochs=epochs,
        seed=seed,
        keep="last" if OF in trial.user_attrs else "best",
        sampled=lambda: trial.params,
        on_built=note_sampled(experiment, journal, trial),
        on_size=size_check(experiment, trial),
        precision=experiment.precision or trial.study.user_attrs.get(PRECISION),
    )


def _train(run: Run, trial: optuna.Trial, sampler: BaseSampler) -> bool:
    """Train a trial and write its end.

    Args:
        run: The trial's run.
        trial: The trial, whose study may have another sampler, see `random_after_repeats`.
        sampler: The sampler of the experiment, which is told how the trial ends.

    Returns:
        Whether the sampler has nothing left to try.
    """
    place = {"worker": os.environ.get(machine.WORKER, "")}
    if NODE in os.environ:
        place["node"] = os.environ[NODE]
    # From here on, a death of the worker counts against the trial.
    run.journal.write("begin", name=run.title, tags=run.tags, **place)
    # A resumed trial is not looked at again: what it had trained would be lost.
    if not run.journal.started and (number := repeated_trial(trial)) is not None:
        return _end_repeated(run, trial, number)
    _take_over_checkpoint(run, trial)
    hp = TrialHyperParameters(trial)
    try:
        trained = train(run, hp, reporter(run, trial))
    except (UserError, *StorageError):
        raise
    except keras_tuner.errors.FatalError as error:
        raise UserError(f"the search space stopped the search: {one_line(error)}") from error
    except RepeatedError as error:
        return _end_repeated(run, trial, error.number)
    except optuna.TrialPruned as error:
        if not run.journal.started:  # the space has pruned it
            if (number := repeated_trial(trial)) is not None:
                return _end_repeated(run, trial, number)
            run.start(hp.values, "not built", {})
        reason = str(error) or "stopped by its search space"
        write_end(run.journal, "PRUNED", reason=reason)
    except Exception as error:
        if full := full_disk(error):
            raise full from error
        # The space or the training may fail in any way. The trial fails, and the search continues.
        if not run.journal.started:
            run.start(hp.values, "not built", {})
        details = traceback.format_exc()
        run.write_file("failure.txt", lambda path: path.write_text(details))
        write_end(run.journal, "FAIL", reason=one_line(error))
    else:
        return _end(run, trial, sampler, trained)
    return False


def _end_repeated(run: Run, trial: optuna.Trial, number: int) -> bool:
    """End a trial that repeats another one. Return whether the sampler has nothing left to try."""
    write_end(run.journal, "FAIL", reason=f"it repeats trial {number}", repeats=number)
    return has_nothing_left(trial)


def _take_over_checkpoint(run: Run, trial: optuna.Trial) -> None:
    """Move the checkpoint of the trial that this one continues, unless this one has its own.

    A space with its own `fit` starts over: resumed, it may order the images differently. A trial
    that was lost in between is resumed nevertheless, as after a kill.
    """
    own = run.journal.folder / CHECKPOINT_FILE
    for earlier in chains.before(all_trials(trial), trial):
        if has_own_fit(run.experiment.space) and not chains.is_lost(earlier):
            return
        if not own.exists():
            with suppress(FileNotFoundError):
                folder = folder_of_run(run.journal.folder.parent, earlier)
                (folder / CHECKPOINT_FILE).replace(own)


def _end(run: Run, trial: optuna.Trial, sampler: BaseSampler, trained: Trained) -> bool:
    """Tell the sampler how a trained trial ended, and write its end.

    Returns:
        Whether the sampler has nothing left to try.
    """
    stop, summary = trained.stop, trained.summary
    state, values, reason = TrialState.COMPLETE, None, ""
    if stop and not stop.scored:
        state, reason = TrialState.PRUNED, stop.reason
    else:
        count = 1 if OF in trial.user_attrs else None  # a confirmation only has the first objective
        metrics = [objective.metric for objective in run.experiment.objectives[:count]]
        values = [objective_value(summary, metric) for metric in metrics]
        if count is None:
            metrics += [constraint.metric for constraint in run.experiment.constraints]
            reason = broken_constraints(run.experiment, trial, summary)
        for metric in metrics:
            if not math.isfinite(objective_value(summary, metric)):
                there = metric in summary or f"best_{metric}" in summary
                who = "its fit gave" if has_own_fit(run.experiment.space) else "its model has"
                reason = f"{metric} is not a finite number" if there else f"{who} no {metric}"
                state, values = TrialState.FAIL, None
                break
    exhausted = after_trial(sampler, trial, state, values)
    model = run.journal.folder / MODEL_FILE
    write_end(
        run.journal,
        state.name,
        reason=reason,
        values=values,
        summary=summary,
        stop=stop.kind if stop else None,
        model=model_digest(model) if model.exists() else None,
    )
    return exhausted
