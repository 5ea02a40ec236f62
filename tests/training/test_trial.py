"""One trial in a worker: who writes what, and what a resumption repeats."""

from itertools import pairwise

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from small import killed_after

from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.keras_file import model_digest
from mnist_cnn.mlruns import CHECKPOINT_FILE, MODEL_FILE, confirmation_folder, trial_folder
from mnist_cnn.optuna_internals import enqueue_again
from mnist_cnn.project.fingerprint import fingerprint
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.study import chains
from mnist_cnn.study.chains import CONTINUES, FIRST, LOST, REPEATS, RUNG
from mnist_cnn.study.storage import open_storage
from mnist_cnn.study.study import BASELINE, BUILT, EARLIER, OF, SEED
from mnist_cnn.tracking import tags
from mnist_cnn.tracking.journal import Journal, read
from mnist_cnn.training.data import load_data
from mnist_cnn.training.trial import _load_study, run_trial

SPACE = """
import keras


def dense(hp):
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.MaxPooling2D(7),
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Int("units", 4, 8), activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    return model
"""

EXPERIMENT = """
from functools import partial

import optuna

from mnist_cnn.datasets import mnist
from mnist_cnn.experiment import AtMost, Confirm, Experiment, Screen
from search_spaces.dense import dense


def data():
    return mnist().first(1200)


experiment = Experiment(
    space=dense, dataset=data, epochs=3, batch_size=100, confirm=Confirm(epochs=4), {fields}
)
"""


@pytest.fixture
def study(project):
    """A study of an experiment with these fields; its storage and its trials' folder."""

    def make(fields=""):
        (project / "search_spaces/dense.py").write_text(SPACE)
        (project / "experiments/dense.py").write_text(EXPERIMENT.format(fields=fields))
        url = f"sqlite:///{project}/optuna.db"
        made = optuna.create_study(
            storage=open_storage(url), study_name="dense-1", direction="maximize"
        )
        made.set_user_attr("fingerprint", fingerprint(load_experiment(ExperimentId("dense"))))
        return made

    load_data.cache_clear()
    _load_study.cache_clear()
    yield make
    load_data.cache_clear()
    _load_study.cache_clear()


def run(study, trial, folder):
    """Run a trial as a worker does."""
    url = str(study._storage._backend.url)
    run_trial(ExperimentId("dense"), study.study_name, url, trial.number, folder)


def test_a_worker_writes_the_end_once_and_leaves_telling_to_the_search(study, project):
    made = study()
    trial = made.ask()
    folder = trial_folder(project, trial.number)
    run(made, trial, folder)
    journal = Journal(folder)
    assert journal.end["tags"][tags.STATE] == "COMPLETE"
    assert journal.end["model"] == model_digest(folder / MODEL_FILE)
    (seen,) = made.trials
    assert seen.state == TrialState.RUNNING
    assert seen.params == next(e["sampled"] for e in read(folder)[0] if e["event"] == "start")
    assert read(folder)[0][0]["event"] == "begin"
    before = (folder / "journal.jsonl").read_bytes()
    run(made, trial, folder)  # it ended, so it is not trained again
    assert (folder / "journal.jsonl").read_bytes() == before


def test_a_confirmation_is_scored_by_its_last_epoch_on_a_seed_that_all_share(study, project):
    made = study("patience=1")
    seeds = []
    for of in (3, 8):
        made.enqueue_trial({"units": 6}, user_attrs={OF: of, SEED: 1})
        trial = made.ask()
        folder = confirmation_folder(project, of, 1)
        run(made, trial, folder)
        events, _ = read(folder)
        epochs = [event for event in events if event["event"] == "metrics"]
        assert [event["step"] for event in epochs] == [1, 2, 3, 4]  # no patience ends it
        (value,) = Journal(folder).end["values"]
        validation = load_data(ExperimentId("dense")).validation.scaled()
        model = keras.models.load_model(folder / MODEL_FILE)
        answers = np.asarray(model.predict(validation.x, verbose=0)).argmax(axis=1)
        assert float(np.mean(answers == validation.y)) == pytest.approx(value)
        assert epochs[-1]["metrics"]["val_accuracy"] == pytest.approx(value, abs=0.011)
        start = next(event for event in events if event["event"] == "start")
        assert start["tags"]["kind"] == "confirmation" and start["tags"]["optuna.trial"] == str(of)
        seeds.append(start["params"]["seed"])
    assert seeds[0] == seeds[1]


def test_a_baseline_is_marked_once_its_model_is_built(study, project):
    made = study("constraints=(AtMost('parameters', 1),)")  # so none is trained
    made.enqueue_trial({"units": 6}, user_attrs={BASELINE: True})
    made.enqueue_trial({"units": 7}, user_attrs={EARLIER: "dense-0"})
    for trial in (made.ask(), made.ask(), made.ask()):
        run(made, trial, trial_folder(project, trial.number))
    assert [BUILT in trial.user_attrs for trial in made.trials] == [True, True, False]
    assert [trial.params["units"] for trial in made.trials[:2]] == [6, 7]


def stop_after(monkeypatch, epoch):
    """Have the worker end once an epoch's answer is in the journal."""
    metrics = Journal.metrics

    def write(journal, step, *arguments):
        metrics(journal, step, *arguments)
        if step == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "metrics", write)


def interrupt(study, project, monkeypatch, epoch=2):
    """Run a trial up to an epoch; returns it and its folder."""
    trial, folder = study.ask(), trial_folder(project, 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, epoch)
        run(study, trial, folder)
    return trial, folder


def test_an_interrupted_trial_goes_on_and_comes_to_the_same(study, project, monkeypatch):
    made = study()
    trial, folder = interrupt(made, project, monkeypatch)
    run(made, trial, folder)
    again = trial_folder(project / "whole", 0)
    run(made, trial, again)
    kinds = [event["event"] for event in read(folder)[0]]
    assert "anew" not in kinds and kinds.count("begin") == 2
    assert history(folder) == history(again)
    assert weights(folder) == weights(again)


def test_with_other_threads_it_begins_anew_and_says_so(study, project, monkeypatch):
    made = study()
    trial, folder = interrupt(made, project, monkeypatch)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")  # as the recipe sees it
    run(made, trial, folder)
    (anew,) = [event for event in read(folder)[0] if event["event"] == "anew"]
    assert anew["reason"] == "threads was all, is 7"
    steps = [event["step"] for event in read(folder)[0] if event["event"] == "metrics"]
    assert steps == [1, 2, 1, 2, 3]
    told = made.trials[0].intermediate_values
    assert list(told.values()) == [metrics["val_accuracy"] for metrics in history(folder)]


def test_without_its_checkpoint_it_begins_anew(study, project, monkeypatch):
    made = study()
    trial, folder = interrupt(made, project, monkeypatch)
    (folder / CHECKPOINT_FILE).unlink()
    run(made, trial, folder)
    (anew,) = [event for event in read(folder)[0] if event["event"] == "anew"]
    assert anew["reason"] == "its checkpoint is gone"


# Its sampler


def test_after_a_repetition_it_is_sampled_at_random_and_the_own_sampler_is_told(
    study, project, monkeypatch
):
    made, told = study(), []
    repeated = made.ask()
    repeated.set_user_attr(REPEATS, 0)
    made.tell(repeated, state=TrialState.FAIL)

    def sample(*arguments):
        pytest.fail("TPE sampled")

    def after_trial(sampler, study, trial, state, values):
        told.append((trial.number, state, values))

    for method in ("infer_relative_search_space", "sample_relative", "sample_independent"):
        monkeypatch.setattr(optuna.samplers.TPESampler, method, sample)
    monkeypatch.setattr(optuna.samplers.TPESampler, "after_trial", after_trial)
    trial = made.ask()
    folder = trial_folder(project, trial.number)
    run(made, trial, folder)
    assert told == [(1, TrialState.COMPLETE, Journal(folder).end["values"])]


# Rungs


def continuation(study, of, rung):
    """A trial that continues trial `of`, whose training trial 0 began."""
    values = dict(study.trials[0].params)
    study.enqueue_trial(values, user_attrs={CONTINUES: of, FIRST: 0, RUNG: rung})
    return study.ask()


def climb(study, project, rungs):
    """Run a trial and its continuations, up to its last epoch; returns their folders."""
    folders = []
    for rung in range(rungs + 1):
        trial = continuation(study, rung - 1, rung) if rung else study.ask()
        folders.append(trial_folder(project, trial.number))
        run(study, trial, folders[-1])
        if rung < rungs:
            assert Journal(folders[-1]).end["stop"] == "rung"
            study.tell(trial, state=TrialState.PRUNED)
    return folders


def test_a_trial_that_climbs_all_rungs_trains_each_epoch_once_and_ends_to_the_bit_as_in_one_go(
    study, project
):
    made = study("screen=Screen(rungs=(1, 2))")
    folders = climb(made, project, rungs=2)
    steps = [[step for step, _ in timed(folder)] for folder in folders]
    assert steps == [[1], [1, 2], [1, 2, 3]]
    seconds = [dict(timed(folder)) for folder in folders]  # which no second training repeats
    for before, after in pairwise(seconds):
        assert before.items() <= after.items()
    reasons = [Journal(folder).end["reason"] for folder in folders]
    assert reasons == ["stopped at the rung of epoch 1", "stopped at the rung of epoch 2", ""]
    there = [(folder / CHECKPOINT_FILE).exists() for folder in folders]
    assert there == [False, False, True]  # it is moved, and the search removes the last
    assert [list(trial.intermediate_values) for trial in made.trials] == steps
    starts = [next(e for e in read(folder)[0] if e["event"] == "start") for folder in folders]
    assert [start["tags"].get(tags.CONTINUES) for start in starts] == [None, "0", "1"]
    assert len({start["params"]["seed"] for start in starts}) == 1

    last, trial = folders[-1], continuation(made, 1, 2)  # which finds no checkpoint there
    whole = trial_folder(project / "whole", trial.number)
    run(made, trial, whole)
    assert history(whole) == history(last) and len(history(last)) == 3
    assert weights(whole) == weights(last)
    assert model_digest(whole / MODEL_FILE) == model_digest(last / MODEL_FILE)
    assert Journal(whole).end["values"] == Journal(last).end["values"]


def test_a_pruner_is_not_asked_about_epochs_before_the_last_rung(study, project):
    """It compares with complete trials, so it would stop most of what screening has chosen."""
    made = study(
        "screen=Screen(rungs=(1, 2)), pruner=partial(optuna.pruners.MedianPruner, "
        "n_startup_trials=1)"
    )
    for value in (1.0, 1.0):  # at epoch 1 better than any network, at epoch 3 worse
        other = made.ask()
        other.report(value, 1)
        other.report(0.0, 3)
        made.tell(other, 0.0)
    first = made.ask()
    run(made, first, trial_folder(project, first.number))
    made.tell(first, state=TrialState.PRUNED)
    attributes = {CONTINUES: first.number, FIRST: first.number, RUNG: 2}
    made.enqueue_trial(dict(made.trials[first.number].params), user_attrs=attributes)
    trial = made.ask()
    run(made, trial, trial_folder(project, trial.number))
    assert list(made.trials[trial.number].intermediate_values) == [1, 2, 3]
    assert Journal(trial_folder(project, trial.number)).end["reason"] == ""


def test_with_screening_only_validated_epochs_are_reported(study, project):
    made = study("screen=Screen(rungs=(2,))")
    (first, _) = climb(made, project, rungs=1)
    assert [list(trial.intermediate_values) for trial in made.trials] == [[2], [2, 3]]
    assert ["val_accuracy" in metrics for metrics in history(first)] == [False, True]


def test_a_continuation_goes_on_from_its_own_checkpoint_after_a_kill(study, project, monkeypatch):
    made = study("screen=Screen(rungs=(1,))")
    first = made.ask()
    run(made, first, trial_folder(project, 0))
    stale = (trial_folder(project, 0) / CHECKPOINT_FILE).read_bytes()
    made.tell(first, state=TrialState.PRUNED)
    trial, folder = continuation(made, 0, 1), trial_folder(project, 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 2)
        run(made, trial, folder)
    (trial_folder(project, 0) / CHECKPOINT_FILE).write_bytes(stale)  # as an older copy brings back
    run(made, trial, folder)
    assert [event["step"] for event in read(folder)[0] if event["event"] == "metrics"] == [1, 2, 3]
    assert "anew" not in [event["event"] for event in read(folder)[0]]


def test_a_pruner_is_not_asked_again_for_epochs_that_were_decided(study, project, monkeypatch):
    """Successive halving answers otherwise when it is asked a second time."""
    made = study("pruner=partial(optuna.pruners.SuccessiveHalvingPruner, min_resource=1)")
    made.pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1)
    for _ in range(4):  # whose first epoch is better than any network's
        other = made.ask()
        other.report(1.0, 1)
        other.should_prune()  # which has the pruner note the value
        made.tell(other, state=TrialState.PRUNED)
    trial = made.ask()
    folder = trial_folder(project, trial.number)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 1)
        run(made, trial, folder)
    (decided,) = Journal(folder).stops.values()
    assert decided["kind"] == "pruned"
    run(made, trial, folder)
    end = Journal(folder).end
    assert (end["tags"][tags.STATE], end["stop"]) == ("PRUNED", "pruned")
    assert end["reason"] == decided["reason"] == "behind the others after epoch 1"


def test_the_sampler_that_computes_constraints_is_asked_in_the_worker(study, project):
    made = study(
        "sampler=partial(optuna.samplers.TPESampler, constraints_func=lambda trial: "
        "(trial.params['units'] - 5,))"
    )
    run(made, made.ask(), trial_folder(project, 0))
    units = made.trials[0].params["units"]
    assert made.trials[0].system_attrs["constraints"] == [units - 5]


def history(folder):
    """The metrics of each epoch since the training began anew, without seconds."""
    found = {}
    for event in read(folder)[0]:
        if event["event"] == "anew":
            found = {}
        elif event["event"] == "metrics":
            found[event["step"]] = {
                name: value for name, value in event["metrics"].items() if name != "epoch_seconds"
            }
    return list(found.values())


def timed(folder):
    """The epochs in the journal, in order, each with the seconds that it took."""
    found = [event for event in read(folder)[0] if event["event"] == "metrics"]
    return [(event["step"], event["metrics"]["epoch_seconds"]) for event in found]


def weights(folder):
    tagged = [event.get("tags", {}) for event in read(folder)[0]]
    return [found[tags.WEIGHTS] for found in tagged if tags.WEIGHTS in found]


def test_a_repeated_configuration_is_not_trained_again(small):
    small.write("space=dense, sampler=optuna.samplers.RandomSampler")
    ended = [small.run() for _ in range(8)]
    first = {}
    for number, trial in enumerate(small.study.trials):
        original = first.setdefault(trial.params["units"], number)
        end = ended[number]
        if number == original:
            assert end.state == "COMPLETE" and len(end.steps) == 2
        else:
            assert (end.state, end.reason) == ("FAIL", f"it repeats trial {original}")
            assert end.steps == end.events("start") == []  # MLflow gets no run of it
            assert Journal(end.folder).end["repeats"] == original
    assert len(first) == 2


def running_like(trial):
    """A trial with the same parameters that another worker is training."""
    return create_trial(
        state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions
    )


def test_what_another_worker_trains_is_not_trained_beside_it(small):
    small.write("space=dense, sampler=optuna.samplers.RandomSampler")
    first = small.run(units=8)
    assert first.state == "COMPLETE"
    small.study.add_trial(running_like(small.study.trials[0]))
    other = create_trial(
        state=TrialState.RUNNING,
        params={"units": 16},
        distributions=small.study.trials[0].distributions,
    )
    small.study.add_trial(other)
    reasons = {small.run().reason for _ in range(8)}
    assert reasons == {"it repeats trial 0", "it repeats trial 2"}


def test_a_hypermodel_whose_fit_has_hyperparameters_is_not_taken_for_a_repetition(small):
    """Before its fit it has only a part of its parameters, as one that another worker begins."""
    small.write(f"space=TwoBatchSizes(), sampler={ONLY_EIGHT}")
    distributions = {"units": IntDistribution(8, 9)}
    small.open().add_trial(
        create_trial(state=TrialState.RUNNING, params={"units": 8}, distributions=distributions)
    )
    assert [small.run().state for _ in range(3)] == ["COMPLETE"] * 3


ONLY_EIGHT = (
    "lambda seed: optuna.samplers.PartialFixedSampler("
    "{'units': 8}, optuna.samplers.RandomSampler(seed))"
)


def test_a_resumed_trial_is_not_taken_for_a_repetition(small):
    small.write("space=TwoBatchSizes(), sampler=optuna.samplers.RandomSampler")
    small.run()
    with killed_after(1):
        small.run()
    same = replace_params(small.study.trials[0], small.study.trials[1].params)
    small.study.add_trial(same)  # another worker has come to the same meanwhile
    assert small.go_on(1).state == "COMPLETE"


def test_a_lost_trial_goes_on_with_what_its_fit_had_sampled(small):
    """The journal of a node that is lost may have only what the build had declared."""
    fixed = "{'units': 9, 'batch_size': 32}"
    small.write(
        f"space=TwoBatchSizes(), sampler=lambda seed: optuna.samplers.PartialFixedSampler({fixed}, "
        "optuna.samplers.RandomSampler(seed))"
    )
    lost = small.open().ask()
    with killed_after(1):
        small.train(lost.number, small.root)
    lost.set_user_attr("reason", LOST)
    small.study.tell(lost, state=TrialState.FAIL)
    (trial,) = small.study.trials
    enqueue_again(small.study, trial, chains.as_continuation(trial, 0))
    again = small.run()
    assert again.state == "COMPLETE", again.reason
    assert small.study.trials[1].params == trial.params == {"units": 9, "batch_size": 32}
    assert again.steps == [1, 2] and not again.events("anew")


def replace_params(trial, params):
    return create_trial(value=0.5, params=params, distributions=trial.distributions)
