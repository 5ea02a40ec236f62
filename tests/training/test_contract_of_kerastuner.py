"""KerasTuner's contract: what its HyperModels may do and return, its own search understands so."""

import keras
import keras_tuner
import numpy as np
import pytest
import strange_spaces
from keras_tuner.src.engine.tuner_utils import convert_to_metrics_dict
from small import killed_after, score_of

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import Maximize, Minimize
from mnist_cnn.training.own_fit import metrics_of

pytestmark = pytest.mark.compatibility

# The objective


def test_a_metric_without_a_name_is_an_objective_in_every_trial_of_a_process(small):
    small.write(
        "space=unnamed_metrics, objectives=(Maximize('val_auc'), Maximize('val_precision')), "
        "dataset=lambda: few().one_hot()"
    )
    assert small.check().unserved == ""
    for trial in (small.run(units=8), small.run(units=16)):
        assert trial.state == "COMPLETE", trial.reason
        assert {"loss", "accuracy", "auc", "precision"} == {
            name.removeprefix("val_") for name in trial.scores
        }
        assert trial.values == [trial.scores["val_auc"], trial.scores["val_precision"]]
        assert 0.3 < trial.values[0] < 1


# A loop of one's own


LOOP = "objectives=(Minimize('held_out'),), epochs=3, "


@pytest.mark.parametrize("space", ["Loop()", "Loop(compile=True)"])
def test_a_loop_that_knows_two_methods_of_a_callback_is_searched(small, space):
    small.write(f"space={space}, {LOOP}")
    assert "not probabilities" in small.check().unserved
    trial = small.run(units=16, rate=0.01)
    assert trial.state == "COMPLETE", trial.reason
    told = [event["metrics"]["held_out"] for event in trial.events("metrics")]
    assert len(told) == 3 and trial.values == [min(told)]


@pytest.mark.parametrize("space", ["Loop()", "Loop(compile=True)"])
def test_a_loop_that_does_not_heed_a_stop_is_ended_at_its_next_epoch(small, space):
    pruner = "pruner=partial(optuna.pruners.ThresholdPruner, upper=0, n_warmup_steps=2)"
    small.write(f"space={space}, {LOOP} {pruner}")
    trial = small.run()
    assert trial.state == "PRUNED", trial.reason
    assert trial.steps == [1, 2]


@pytest.mark.parametrize("space", ["Loop()", "Loop(first=1)", "Loop(compile=True)"])
def test_a_loop_that_was_killed_begins_again_and_comes_to_the_same(small, space):
    small.write(f"space={space}, {LOOP}")
    with killed_after(1):
        small.run(units=8, rate=0.01)
    whole = small.train(0, small.root / "whole")
    again = small.go_on(0)
    assert again.steps == [1, 1, 2, 3] and whole.steps == [1, 2, 3]
    assert again.values == whole.values


# What a fit returns


@pytest.fixture(scope="module")
def history():
    """Of a real training of three epochs, the second of which is the best."""
    x, y = np.zeros((20, 28, 28, 1), np.float32), np.zeros(20, np.int32)
    made = strange_spaces.compiled().fit(x, y, validation_data=(x, y), epochs=3, verbose=0)
    made.history["val_score"] = [0.25, 0.75, 0.5]
    return made


def test_what_a_fit_returns_is_read_as_kerastuner_reads_it(history):
    returned = [
        *(0.5, 1, True, np.float32(0.1), np.float64(0.1)),
        {"val_score": 0.5, "seconds": np.float32(2)},
        history,
    ]
    lists = [[one, one] for one in returned]
    mixed = [0.25, {"val_score": 0.5, "seconds": 2.0}, history]
    for kind, objective in (("max", Maximize("val_score")), ("min", Minimize("val_score"))):
        theirs = keras_tuner.Objective("val_score", kind)
        for one in [*returned, *lists, mixed, [mixed, 0.5]]:
            wanted = convert_to_metrics_dict(one, theirs)
            found = metrics_of(one, (objective,), "best")
            assert found == pytest.approx(wanted), one
            assert all(type(value) is float for value in found.values())


def test_of_the_history_of_a_confirmation_the_last_epoch_counts(history):
    last = {name: values[-1] for name, values in history.history.items()}
    assert metrics_of(history, (Maximize("val_score"),), "last") == pytest.approx(last)
    best = metrics_of(history, (Maximize("val_score"),), "best")
    assert best != pytest.approx(last)  # so the two can be told apart
    assert metrics_of([history, history], (Maximize("val_score"),), "last") == pytest.approx(last)


def a_history(**metrics):
    made = keras.callbacks.History()
    made.history = metrics
    return made


@pytest.mark.parametrize("objective", [Maximize("val_score"), Minimize("val_score")])
def test_an_epoch_that_is_not_a_number_is_never_the_best(objective):
    nan = float("nan")
    found = metrics_of(a_history(val_score=[nan, 0.5, nan], loss=[1, 2, 3]), (objective,), "best")
    assert found == {"val_score": 0.5, "loss": 2.0}
    none = metrics_of(a_history(val_score=[nan, nan]), (objective,), "best")
    assert np.isnan(none["val_score"])


def test_of_a_history_only_what_was_measured_in_the_same_epochs_counts():
    every_second = a_history(loss=[4, 3, 2, 1], val_score=[0.2, 0.9], val_loss=[2, 1])
    for keep in ("best", "last"):
        found = metrics_of(every_second, (Maximize("val_score"),), keep)
        assert found == {"val_score": 0.9, "val_loss": 1.0}


@pytest.mark.parametrize("what", ["number", "numpy", "dictionary", "list"])
def test_what_a_fit_returns_is_the_trials_score(small, what):
    small.write("space=Returns()")
    trial = small.run(what=what)
    model = strange_spaces.Returns()
    hp = keras_tuner.HyperParameters()
    hp.values["what"] = what
    objective = keras_tuner.Objective("val_accuracy", "max")
    wanted = convert_to_metrics_dict(model.fit(hp, None), objective)
    assert trial.state == "COMPLETE", trial.reason
    assert trial.scores == pytest.approx(wanted)
    assert trial.values == [trial.scores["val_accuracy"]]


@pytest.mark.parametrize("what", ["not a number", "infinite", "minus infinite"])
def test_a_score_that_is_no_finite_number_fails_its_trial(small, what):
    small.write("space=Returns()")
    trial = small.run(what=what)
    assert (trial.state, trial.reason) == ("FAIL", "val_accuracy is not a finite number")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("text", "returned str; valid: a number, a dictionary with 'val_accuracy', a History"),
        ("array", "returned ndarray; valid: a number"),
        ("another metric", "returned accuracy, without the objective 'val_accuracy'"),
        ("no number", "returned str as 'val_accuracy'; valid: a number"),
        ("nothing", "neither returned 'val_accuracy' nor passed it to the callbacks"),
        ("empty", "returned list; valid: a number"),
    ],
)
def test_what_cannot_be_a_score_stops_the_search(small, what, message):
    small.write("space=Returns()")
    with pytest.raises(UserError, match=message):
        small.run(what=what)


def test_a_fit_that_returns_nothing_is_scored_by_its_epochs(small):
    small.write("space=Trains()")
    trial = small.run()
    told = [event["metrics"]["val_accuracy"] for event in trial.events("metrics")]
    assert trial.values == [max(told)] and trial.steps == [1, 2]


def test_with_two_objectives_a_fit_names_each(small):
    small.write("space=Returns(), objectives=(Maximize('val_accuracy'), Minimize('val_loss'))")
    assert small.run(what="two").values == [0.25, 0.5]
    trial = small.run(what="dictionary")
    assert (trial.state, trial.reason) == ("FAIL", "its fit gave no val_loss")
    with pytest.raises(UserError, match="must return a dictionary with 'val_accuracy', 'val_loss'"):
        small.run(what="number")


def test_a_score_that_was_lost_with_its_worker_is_computed_again(small, monkeypatch):
    small.write("space=Trains(score=0.125), epochs=1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(strange_spaces, "interrupt", raise_interrupt)
        small.run()
    again = small.go_on(0)
    assert again.values == [0.125]
    assert [event["reason"] for event in again.events("anew")] == [
        "its own fit has not returned yet"
    ]


def raise_interrupt():
    raise KeyboardInterrupt


def test_a_fit_that_takes_no_other_arguments_is_given_those_that_it_names(small):
    small.write("space=PlainArguments()")
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    assert trial.steps == [] and set(trial.scores) == {
        *("accuracy", "loss", "val_accuracy", "val_loss")
    }


def test_cross_validation_with_the_callbacks_is_scored_by_its_mean(small):
    small.write("space=Folds(), patience=9")
    with killed_after(1):
        small.run(units=8)
    trial = small.go_on(0)
    assert trial.state == "COMPLETE", trial.reason
    assert trial.steps == [1, 1, 2, 3, 4]
    told = [event["metrics"]["val_accuracy"] for event in trial.events("metrics")][1:]
    assert trial.values == pytest.approx([(max(told[:2]) + max(told[2:])) / 2])
    reasons = [event["reason"] for event in trial.events("anew")]
    assert reasons == ["its own fit trains more than one model"]


# Epochs without the objective


def test_a_fit_that_only_returns_its_objective_keeps_the_model_of_its_last_epoch(small):
    small.write("space=ScoresAtTheEnd(), epochs=3, patience=1, screen=Screen(rungs=(1,))")
    trial = small.run(units=8)
    assert trial.state == "COMPLETE", trial.reason
    assert trial.steps == [1, 2, 3] and (trial.folder / "curves.png").exists()
    assert small.study.trials[0].intermediate_values == {}  # nothing to prune by
    assert score_of(trial) == pytest.approx(trial.values[0])


def test_a_fit_that_only_returns_its_objective_goes_on_after_a_kill(small):
    small.write("space=ScoresAtTheEnd()")
    with killed_after(1):
        small.run(units=8)
    trial = small.go_on(0)
    assert trial.steps == [1, 2] and not trial.events("anew")
    assert score_of(trial) == pytest.approx(trial.values[0])


def test_a_fit_that_validates_every_second_epoch_is_scored_by_those(small):
    small.write("space=ValidatesEverySecond(), epochs=5, patience=3")
    with killed_after(3):
        small.run(units=8)
    trial = small.go_on(0)
    assert trial.state == "COMPLETE", trial.reason
    told = {e["step"]: e["metrics"].get("val_accuracy") for e in trial.events("metrics")}
    assert list(told) == [1, 2, 3, 4, 5]
    assert [step for step, value in told.items() if value is not None] == [2, 4]
    assert small.study.trials[0].intermediate_values == {2: told[2], 4: told[4]}
    assert trial.values == [max(told[2], told[4])] == [pytest.approx(score_of(trial))]


def test_a_trial_stops_at_its_first_epoch_with_a_value_from_its_rung_on(small):
    small.write("space=ValidatesEverySecond(), epochs=3, screen=Screen(rungs=(1,))")
    trial = small.run(units=8)
    assert (trial.state, trial.reason) == ("PRUNED", "stopped at the rung of epoch 1")


def test_a_space_without_a_fit_of_its_own_needs_the_objective_in_every_epoch(small):
    small.write("space=dense, objectives=(Maximize('held_out'),)")
    with pytest.raises(UserError, match="'held_out' does not exist; valid: val_") as refused:
        small.check()
    assert str(refused.value).endswith("; such as objectives=(Maximize('val_accuracy'),)")


def test_a_configuration_without_the_objective_only_fails_its_trial(small):
    small.write("space=sometimes_other_metrics")
    assert small.check().unserved == ""
    trial = small.run(metric="top")
    assert trial.state == "FAIL"
    assert "'val_accuracy' does not exist; valid: " in trial.reason and "val_top" in trial.reason
    assert small.run(metric="accuracy").state == "COMPLETE"


def test_a_hyper_model_that_keeps_what_it_builds_is_searched(small):
    small.write("space=Keeps()")
    assert small.check().unserved == ""
    assert small.run(units=8).state == "COMPLETE"
    small.forget()  # another worker
    assert small.run(units=16).state == "COMPLETE"


# What a space raises


@pytest.mark.parametrize("place", ["build", "fit"])
def test_a_spaces_exceptions_have_their_meaning(small, place):
    small.write("space=Raises()")
    pruned, failed, own = (
        small.run(place=place, kind=kind) for kind in ("pruned", "failed", "own")
    )
    assert (pruned.state, pruned.reason) == ("PRUNED", "too wide for its depth")
    assert (failed.state, failed.reason) == ("FAIL", "FailedTrialError: too wide for its depth")
    assert (own.state, own.reason) == ("FAIL", "ArithmeticError: too wide for its depth")
    assert small.run(place="nowhere").values == [0.5]
    with pytest.raises(UserError, match="the search space stopped the search: FatalValueError"):
        small.run(place=place, kind="fatal")


@pytest.mark.parametrize("kind", ["pruned", "failed"])
def test_defaults_that_a_space_refuses_do_not_stop_a_search(small, kind):
    small.write(f"space=Raises(), baseline=dict(place='build', kind={kind!r})")
    assert small.check().unserved == ""


# Values that depend on others


def test_choices_that_depend_on_another_value_say_how_they_are_written(small):
    small.write("space=depends, epochs=1")
    assert small.run(depth=1).state == "COMPLETE"
    trial = small.run(depth=2)
    assert trial.state == "FAIL" and "\n" not in trial.reason
    assert "give each list its own name, such as f'units_{depth}'" in trial.reason


def test_and_written_so_they_are_searched(small):
    small.write("space=depends_by_name, epochs=1")
    trials = [small.run(depth=1), small.run(depth=2, units_2=4)]
    assert [trial.state for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert small.study.trials[1].params == {"depth": 2, "units_2": 4}


# Names


def test_hyperparameters_that_are_called_as_the_runs_own_parameters_are_both_told(small):
    small.write("space=Tells()")
    trial = small.run(seed="other", epochs=7)
    (start,) = trial.events("start")
    assert isinstance(start["params"]["seed"], int) and start["params"]["epochs"] == 2
    assert start["params"]["parameters"] == strange_spaces.compiled().count_params()
    told = {name: start["params"][f"hp.{name}"] for name in ("seed", "precision", "hp.seed")}
    assert told == {"seed": "other", "precision": "mine", "hp.seed": "mine"}
    (later,) = trial.events("params")
    assert later["params"] == {"hp.epochs": 7} and later["values"] == {"epochs": 7}
