"""Constraints and several objectives: pruned before training, told to samplers, refused."""

import re

import optuna
import pytest
from optuna.trial import TrialState
from small import killed_after

from mnist_cnn.errors import UserError
from mnist_cnn.experiment import AtLeast, AtMost
from mnist_cnn.objectives import keeps_constraints

TWO = "space=dense, objectives=(Maximize('val_accuracy'), Minimize('parameters')), epochs=1"
LARGE = 50_000  # more than either network of the space has


def test_a_violation_is_a_share_of_the_bound():
    assert AtMost("parameters", 200).violation(250) == 0.25
    assert AtMost("parameters", 200).violation(100) == -0.5
    assert AtLeast("val_accuracy", 0.5).violation(0.25) == 0.5
    assert AtMost("val_loss", 0).violation(0.1) == pytest.approx(0.1)
    assert str(AtMost("parameters", 20_000.0)) == "parameters at most 20,000"
    assert AtLeast("val_accuracy", 0.985).broken(0.98) == "val_accuracy 0.98, not at least 0.985"
    assert AtLeast("val_accuracy", 0.985).broken(0.98498).startswith("val_accuracy 0.98498, not")
    with pytest.raises(UserError, match="it must be a finite number"):
        AtMost("parameters", float("nan"))


def test_what_is_known_before_training_prunes_before_training(small):
    small.write(f"{TWO}, constraints=(AtMost('parameters', 1),)")
    trial = small.run(units=8)
    assert (trial.state, trial.steps) == ("PRUNED", [])
    assert re.fullmatch(r"parameters [\d,]+, not at most 1", trial.reason)
    (kept,) = small.study.get_trials()
    assert kept.constraints["parameters at most 1"] > 0 and not keeps_constraints(kept)


def test_what_is_known_after_training_leaves_the_trial_complete(small):
    constraints = f"(AtLeast('val_accuracy', 0.999), AtMost('parameters', {LARGE}))"
    small.write(f"{TWO}, constraints={constraints}")
    trial = small.run(units=8)
    assert trial.state == "COMPLETE" and trial.reason.endswith("not at least 0.999")
    assert len(trial.values) == 2
    (told,) = small.study.get_trials()
    assert told.constraints["val_accuracy at least 0.999"] > 0
    assert told.constraints[f"parameters at most {LARGE:,}"] < 0
    assert small.study.best_trials == []


def test_a_trial_that_is_resumed_is_checked_once(small, recwarn):
    small.write(f"{TWO}, constraints=(AtMost('parameters', {LARGE}),)".replace("=1", "=2"))
    with killed_after(1):
        small.run(units=8)
    assert small.go_on(0).state == "COMPLETE"
    assert not [w for w in recwarn if "already set" in str(w.message)]


@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler"])
def test_samplers_go_on_after_trials_that_were_not_trained(small, sampler):
    """Optuna's own: trials without values, but with constraints, are among those that they read."""
    more = {"TPESampler": "n_startup_trials=1"}.get(sampler, "population_size=2")
    small.write(
        f"{TWO}, sampler=partial(optuna.samplers.{sampler}, {more}), "
        "constraints=(AtMost('parameters', 600),)"  # 8 units have 482 parameters, 16 have 954
    )
    assert small.run(units=16).state == "PRUNED"
    assert small.run(units=8).state == "COMPLETE"
    for _ in range(3):
        sampled = small.run()  # there is nothing else in the space
        assert sampled.reason in ("it repeats trial 0", "it repeats trial 1")


def test_three_objectives_work_and_the_latency_is_measured_if_asked_for(small):
    small.write(
        TWO.replace("'parameters'), ", "'parameters'), ").replace(
            "Minimize('parameters'))",
            "Minimize('parameters'), Minimize('milliseconds_per_image'))",
        )
    )
    small.check()
    trial = small.run(units=8)
    assert trial.state == "COMPLETE", trial.reason
    assert len(trial.values) == 3 and 0 < trial.values[2] < 10_000


@pytest.mark.parametrize("space", ["with_lambda", "subclass"])
def test_a_model_whose_file_is_not_loaded_is_timed_all_the_same(small, space):
    metrics = "Maximize('val_accuracy'), Minimize('milliseconds_per_image')"
    small.write(f"space={space}, objectives=({metrics}), epochs=1", "strange_models")
    small.check()
    trial = small.run()
    assert trial.state == "COMPLETE" and 0 < trial.values[1] < 10_000


def test_a_cost_that_the_model_does_not_tell_is_refused(small):
    few = "AtMost('parameters', 10_000), AtMost('train_seconds', 100)"
    small.write(f"space=subclass, constraints=({few})", "strange_models")
    small.check()
    small.write(
        "space=subclass, constraints=(AtMost('multiply_accumulates', 9),)", "strange_models"
    )
    with pytest.raises(UserError, match=r"'multiply_accumulates' does not exist; valid: .*param"):
        small.check()


REFUSED = {
    "an objective that is not measured": (
        "(Maximize('val_accuracy'), Minimize('watts'))",
        "()",
        r"metric 'watts' does not exist; valid: .*parameters.*milliseconds_per_image",
    ),
    "more parameters": (
        "(Maximize('val_accuracy'), Maximize('parameters'))",
        "()",
        r"'parameters' is to be maximized, but less is better; write Minimize\('parameters'\)",
    ),
    "less accuracy": (
        "(Minimize('val_accuracy'),)",
        "()",
        r"'val_accuracy' is to be minimized, but more is better; write Maximize\('val_accuracy'\)",
    ),
    "a constraint on what there is not": (
        "(Maximize('val_accuracy'),)",
        "(AtMost('watts', 3),)",
        r"the constraint's metric 'watts' does not exist; valid: .*parameters",
    ),
    "a cost as the first objective": (
        "(Minimize('parameters'), Maximize('val_accuracy'))",
        "()",
        r"all epochs have the same parameters; let one of these come first: .*val_accuracy",
    ),
    "a percentage": (
        "(Maximize('val_accuracy'),)",
        "(AtLeast('val_accuracy', 98.5),)",
        r"val_accuracy at least 98.5 is impossible: an accuracy is a share, such as 0.985",
    ),
    "no parameters at all": (
        "(Maximize('val_accuracy'),)",
        "(AtMost('parameters', 0),)",
        r"parameters at most 0 is impossible: every model has more",
    ),
    "one metric twice": (
        "(Maximize('val_accuracy'), Minimize('val_loss'), Maximize('val_accuracy'))",
        "()",
        r"two objectives are 'val_accuracy'; keep one of them",
    ),
    "bounds that exclude each other": (
        "(Maximize('val_accuracy'),)",
        "(AtLeast('parameters', 9_000), AtMost('val_loss', 1), AtMost('parameters', 8_000))",
        r"no trial can have both parameters at most 8,000 and parameters at least 9,000",
    ),
    "a constraint of another kind": (
        "(Maximize('val_accuracy'),)",
        "AtMost('parameters', 3)",
        r"must be a tuple of constraints, such as \(AtMost\('parameters', 20_000\),\)",
    ),
}


@pytest.mark.parametrize(("objectives", "constraints", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(small, objectives, constraints, words):
    small.write(f"space=dense, objectives={objectives}, constraints={constraints}")
    with pytest.raises(UserError, match=words) as refused:
        small.check()
    assert "\n" not in str(refused.value)


def test_a_space_whose_smallest_network_does_not_fit_is_refused_in_one_line(small):
    small.write("space=too_deep")
    with pytest.raises(UserError, match=r"defaults does not work: .*negative") as refused:
        small.check()
    assert "\n" not in str(refused.value)


def test_optuna_still_reads_constraints_of_trials_without_values():
    study = optuna.create_study(directions=["maximize", "minimize"])
    trial = study.ask()
    trial.set_constraint("c", 1.0)
    study.tell(trial, state=TrialState.PRUNED)
    assert study.best_trials == [] and study.trials[0].constraints == {"c": 1.0}
