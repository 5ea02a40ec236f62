"""What a search space is offered: whether it is built to be trained, and for how many steps."""

import pytest
from small import killed_after, score_of

from mnist_cnn.errors import UserError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.mlruns import MODEL_FILE
from mnist_cnn.project.loading import load_experiment
from mnist_cnn.tracking import tags
from mnist_cnn.training import saved_model
from mnist_cnn.training.build import wants


def test_a_layer_that_acts_in_training_only_is_not_in_the_file(small):
    small.write("space=noisy")
    assert small.check().unserved == ""
    trial = small.run(units=8)
    assert trial.state == "COMPLETE", trial.reason
    model = saved_model.load(trial.folder / MODEL_FILE)
    assert "Noise" not in [type(layer).__name__ for layer in model.layers]
    assert score_of(trial) == pytest.approx(trial.values[0])


def test_random_numbers_of_a_layer_without_a_seed_go_on_after_a_kill(small):
    small.write("space=noisy, epochs=3")
    with killed_after(1):
        small.run(units=8)
    whole = small.train(0, small.root / "whole")
    again = small.go_on(0)
    assert again.steps == [1, 2, 3] and not again.events("anew")
    assert weights_digest(again) == weights_digest(whole)


def weights_digest(trial):
    (found,) = [e["tags"][tags.WEIGHTS] for e in trial.events("tags") if tags.WEIGHTS in e["tags"]]
    return found


def test_weights_in_training_only_are_refused_before_the_first_trial(small):
    small.write("space=heavier_in_training")
    with pytest.raises(UserError, match=r"with training=False it has other weights .* be saved"):
        small.check()


def test_a_baseline_is_checked_against_the_model_that_is_trained(small):
    small.write("space=scheduled, baseline={'units': 16, 'steps': 8}")
    assert small.check().unserved == ""


@pytest.mark.parametrize("fields", ["epochs=2", "epochs=3, epoch_images=100, confirm=Confirm()"])
def test_a_rate_falls_to_zero_at_the_end_of_the_training(small, fields):
    small.write(f"space=scheduled, {fields}")
    trial = small.run(units=8)
    rates = [event["metrics"]["learning_rate"] for event in trial.events("metrics")]
    assert rates[0] == pytest.approx(0.02 * (1 - 1 / len(rates)))
    assert rates[-1] == pytest.approx(0, abs=1e-7)


def test_where_a_training_may_end_at_any_rung_the_number_of_steps_is_not_offered(small):
    small.write("space=scheduled, epochs=2, screen=Screen(rungs=(1,))")
    trial = small.run(units=8)
    (start,) = trial.events("start")
    assert "steps" not in start["values"]
    (epoch,) = trial.events("metrics")
    assert epoch["metrics"]["learning_rate"] == pytest.approx(0.02)


def test_what_a_partial_has_set_is_not_offered_again(small):
    small.write("space=partial(noisy, training=False)")
    space = load_experiment(ExperimentId("small")).space
    assert not wants(space, "training")
    assert small.run(units=8).state == "COMPLETE"
