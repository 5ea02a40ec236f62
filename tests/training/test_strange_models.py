"""Models of all kinds: what Keras trains is searched, and what cannot be served is told before."""

import keras
import pytest
from small import killed_after, score_of

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.study.chains import CONTINUES, FIRST, RUNG
from mnist_cnn.tracking.journal import read, values_of
from mnist_cnn.training import preflight, saved_model
from mnist_cnn.training.data import load_data

pytestmark = pytest.mark.compatibility

OWN_CLASS = "Could not locate class '{}'"

# space: (why its models are not served, whether they are saved, what cannot be told of them)
SEARCHED = {
    "subclass": ("must override `get_config()`", False, {"multiply_accumulates"}),
    "saveable": (OWN_CLASS.format("Saveable"), True, {"multiply_accumulates"}),
    "model_block": (OWN_CLASS.format("ModelBlock"), True, {"multiply_accumulates"}),
    "layer_block": (OWN_CLASS.format("LayerBlock"), True, {"multiply_accumulates"}),
    "logits": ("outputs are not probabilities", True, set()),
    "nested": ("", True, set()),
    "layered": ("", True, {"multiply_accumulates"}),
}


@pytest.mark.parametrize("space", SEARCHED)
def test_a_model_is_searched_and_the_file_has_its_score(small, space):
    unserved, saved, untold = SEARCHED[space]
    small.write(f"space={space}", "strange_models")
    problem = small.check().unserved
    assert unserved in problem and bool(problem) == bool(unserved)
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    (start,) = trial.events("start")
    assert {"parameters", "multiply_accumulates"} - start["params"].keys() == untold
    assert (trial.folder / MODEL_FILE).exists() == saved
    if not saved:
        return
    assert score_of(trial) == pytest.approx(trial.values[0])
    if unserved:  # though the class is registered in this process
        with pytest.raises(UserError, match=r"cannot load|not probabilities"):
            served(trial)
    else:
        served(trial)


def test_one_baseline_that_cannot_be_served_is_told(small, monkeypatch):
    problems = iter(["outputs are not probabilities", "", "another"])
    monkeypatch.setattr(preflight, "_problem_of_serving", lambda *asked: next(problems))
    small.write("space=noisy, baseline=({'units': 8}, {'units': 16}, {'units': 8})")
    assert small.check().unserved == "outputs are not probabilities"


def served(trial):
    """Load the saved model as `promote`, `evaluate` and `serve` do, and ask it."""
    model = saved_model.load(trial.folder / MODEL_FILE)
    return saved_model.predict(model, load_data(ExperimentId("small")).validation.scaled().x)


@pytest.mark.parametrize(
    ("space", "metric", "unserved"),
    [
        ("TwoHeads()", "val_digit_accuracy", "maps (None, 28, 28, 1) to "),
        ("TwoInputs()", "val_accuracy", "to (None, 10); expected (None, height, width, channels)"),
        ("BuiltInFit()", "val_accuracy", "maps (None, 28, 28, 1) to (None, 28, 28, 10)"),
    ],
)
def test_what_a_fit_of_its_own_feeds_is_searched(small, space, metric, unserved):
    small.write(f"space={space}, objectives=(Maximize({metric!r}),)", "strange_models")
    assert unserved in small.check().unserved
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    told = [event["metrics"][metric] for event in trial.events("metrics")]
    assert len(told) == 2 and trial.values == [max(told)]


def test_a_model_that_its_fit_builds_goes_on_where_it_was_and_is_saved(small):
    small.write(
        "space=WithoutInput(), objectives=(Maximize('val_accuracy'), Minimize('parameters'))",
        "strange_models",
    )
    assert small.check().unserved == ""
    with killed_after(1):
        small.run(units=8)
    trial = small.go_on(0)
    assert trial.steps == [1, 2] and not trial.events("anew")
    assert trial.values == [trial.scores["val_accuracy"], 490]
    assert score_of(trial) == pytest.approx(trial.values[0])
    served(trial)


def test_what_a_fit_of_its_own_tunes_is_recorded_and_a_continuation_begins_again_with_it(small):
    small.write(
        "space=WithoutInput(), screen=Screen(rungs=(1,)), baseline={'units': 16}", "strange_models"
    )
    first = small.run()
    assert first.state == "PRUNED" and first.steps == [1]
    (stopped,) = small.study.trials
    assert stopped.distributions["batch_size"].choices == (25, 50)
    assert stopped.params == {"units": 1, "batch_size": 25}  # units of 8, 16 and 32
    values = values_of(read(first.folder)[0])  # as the search finds them
    small.study.enqueue_trial(values, user_attrs={CONTINUES: 0, FIRST: 0, RUNG: 1})
    last = small.run()
    assert last.state == "COMPLETE", last.reason
    assert last.steps == [1, 2]
    assert small.study.trials[1].params == stopped.params
    for trial in (first, last):
        told = [event for kind in ("start", "params", "tags") for event in trial.events(kind)]
        params = {name: value for event in told for name, value in event.get("params", {}).items()}
        assert str(params["units"]) == "16"  # not the index
        assert str(params["batch_size"]) == "25"  # not named by the baseline: its default
        recipes = [event["tags"]["recipe"] for event in told if "recipe" in event.get("tags", ())]
        assert '"batch_size": 25' in recipes[-1] and '"units": 16' in recipes[-1]


# Precision


TOP = "objectives=(Maximize('val_top'),), epochs=1, precision="


@pytest.mark.parametrize("space", ["stack_in_half", "graph_in_half"])
def test_a_metric_that_takes_no_half_precision_is_given_float32(small, space):
    small.write(f"space={space}, {TOP}'mixed_bfloat16'", "strange_models")
    assert small.check().unserved == ""
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason


def test_what_fails_in_half_precision_alone_is_refused_before_the_first_trial(small):
    small.write(f"space=subclass_in_half, {TOP}'mixed_bfloat16'", "strange_models")
    with pytest.raises(UserError, match=r"bfloat16.*; precision='float32' in the experiment"):
        small.check()
    small.write(f"space=subclass_in_half, {TOP}'float32'", "strange_models")
    assert small.run().state == "COMPLETE"


@pytest.mark.parametrize("space", ["half_brain", "half_float"])
def test_a_policy_that_the_space_sets_is_trained_with_and_not_saved(small, space):
    small.write(f"space={space}, epochs=1", "strange_models")
    assert small.check().unserved == ""
    trial = small.run()
    assert trial.state == "COMPLETE", trial.reason
    (start,) = trial.events("start")
    assert "float16" in start["params"]["precision"]
    keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(trial.folder / MODEL_FILE)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert type(model.optimizer) is keras.optimizers.SGD  # and no scaling of a loss
    assert score_of(trial) == pytest.approx(trial.values[0])
